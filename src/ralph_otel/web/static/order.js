// The order of the list. It is chosen by a column's title, or in a field where there are no columns, and is kept in the
// address; without one, the loops that run stand by their start, those that ended by their end.

import { h } from "./dom.js";
import { stateOf } from "./words.js";

const ratio = (part, whole) => (whole ? part / whole : null);

// What a list may stand by: its title, what is compared (null comes last), and whether the largest comes first.
export const ORDERS = {
  name: { title: "Loop", of: (run) => (run.name || run.run).toLowerCase(), down: false },
  state: { title: "End", of: (run) => stateOf(run)[0], down: false },
  success: { title: "Last iterations", of: (run) => ratio(run.outcomes.filter((each) => each === "success").length, run.outcomes.length), down: false },
  iterations: { title: "Iterations", of: (run) => run.iterations, down: true },
  tests: { title: "Tests", of: (run) => ratio(run.tests?.passing, run.tests?.total), down: false },
  cost: { title: "Cost", of: (run) => run.cost, down: true },
  time: { title: "Time", of: (run) => run.execution_time, down: true },
  ended: { title: "Ended", of: (run) => Date.parse(run.last_event ?? 0), down: true },
};
const USUAL = { by: "ended", down: true };

const asked = new URLSearchParams(location.search);
let order = Object.hasOwn(ORDERS, asked.get("sort")) ? { by: asked.get("sort"), down: asked.get("order") !== "ascending" } : USUAL;

const isUsual = () => order.by === USUAL.by && order.down === USUAL.down;

// Put runs into the order; `usually` compares two where none was chosen, and where they are equal.
export function ordered(runs, usually) {
  const { of } = ORDERS[order.by];
  return isUsual() ? runs.sort(usually) : runs.sort((a, b) => compare(of(a), of(b)) || usually(a, b));
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || b === null) return a === null ? 1 : -1;
  return (a < b) === order.down ? 1 : -1;
}

// Another order: the same column again turns it round. Returns how it is said.
function choose(by, down) {
  order = { by, down };
  const query = new URLSearchParams(location.search);
  query.delete("sort");
  query.delete("order");
  if (!isUsual()) {
    query.set("sort", by);
    query.set("order", down ? "descending" : "ascending");
  }
  history.replaceState(null, "", query.size ? `/?${query}` : "/");
  return `Sorted by ${ORDERS[by].title.toLowerCase()}, ${down ? "descending" : "ascending"}`;
}

// Let the titles and the field choose; `changed` is called with what is to be said then.
export function listen(main, changed) {
  main.addEventListener("click", (event) => {
    const by = event.target.closest?.("[data-sort]")?.dataset.sort;
    if (by) changed(choose(by, by === order.by ? !order.down : ORDERS[by].down));
  });
  main.addEventListener("change", (event) => {
    if (event.target.id === "order") changed(choose(event.target.value, ORDERS[event.target.value].down));
  });
}

// A column's title, as a button.
export function title(by, style) {
  const now = order.by === by;
  const arrow = h("span", { "aria-hidden": "true", class: "arrow" }, now && !order.down ? "↑" : "↓");
  return h("th", { scope: "col", class: style, "aria-sort": now ? (order.down ? "descending" : "ascending") : null },
    h("button", { class: "sort", type: "button", "data-sort": by }, style?.includes("number") ? [arrow, ORDERS[by].title] : [ORDERS[by].title, arrow]));
}

// The field, and the button that turns the order round.
export function field() {
  return [
    h("label", { for: "order" }, "Sorted by"),
    h("select", { id: "order" }, Object.entries(ORDERS).map(([by, each]) => h("option", { value: by }, each.title))),
    h("button", { type: "button", class: "turn-round", "data-sort": order.by, "aria-label": `${order.down ? "Descending" : "Ascending"}, turn round` }, order.down ? "↓" : "↑"),
  ];
}

// The field says what the order is, whoever has chosen it.
export function tellField() {
  const shown = document.getElementById("order");
  if (shown && shown.value !== order.by) shown.value = order.by;
}
