// Two runs beside each other. Which ones is in the address; where one is missing, the page suggests.

import { addressOf, ask, atMost } from "./api.js";
import { figure } from "./chart.js";
import { h } from "./dom.js";
import { Live } from "./live.js";
import { badge, strip } from "./marks.js";
import { figures } from "./tables.js";
import { goes, moment, setClock, stateOf } from "./words.js";

const SIDES = ["a", "b"];
const PAUSE = 1000;
let page;
let runs = [];
let chosen;
let compared = null;
let problem = "";

export async function begin(its) {
  page = its;
  const asked = new URLSearchParams(location.search);
  runs = (await ask("/api/runs")).runs;
  chosen = suggest(asked.get("a"), asked.get("b"));
  page.main.addEventListener("change", (event) => {
    if (!SIDES.includes(event.target.name)) return;
    chosen = { ...chosen, [event.target.name]: event.target.value };
    history.replaceState(null, "", `/compare?${new URLSearchParams(chosen)}`);
    read();
  });
  draw();
  await read();
  const refresh = atMost(PAUSE, read);
  new Live({
    link: page.link,
    hello: ({ ts }) => setClock(ts),
    run(told) {
      const before = note(told);
      if (!chosen.a || !chosen.b) chosen = suggest(chosen.a, chosen.b);
      if (!SIDES.some((side, place) => keyOf(side, place) === told.run)) return before ? null : draw();
      if (before && goes(before) && !goes(told)) page.say(`${told.name}: ${stateOf(told)[0]}`);
      if (!before || goes(before) || goes(told)) refresh();
    },
  });
}

// Keep the newest of a run; returns what was known of it before.
function note(told) {
  const place = runs.findIndex((run) => run.run === told.run);
  if (place < 0) runs.unshift(told);
  else [runs[place], told] = [told, runs[place]];
  return place < 0 ? null : told;
}

// The newest run, and the one before it of the same loop.
function suggest(a, b) {
  const first = a ?? runs[0]?.run;
  const name = runs.find((run) => run.run === first)?.name;
  const second = b ?? (runs.find((run) => run.run !== first && run.name === name) ?? runs.find((run) => run.run !== first))?.run;
  return { a: first, b: second };
}

async function read() {
  if (!chosen.a || !chosen.b) return;
  const { a, b } = chosen;
  let answer = null;
  let failed = "";
  try {
    answer = await ask(`/api/compare?${new URLSearchParams({ a, b })}`);
  } catch (error) {
    if (error instanceof TypeError && compared) return; // the connection is lost, which is shown already
    failed = error.message;
  }
  if (chosen.a !== a || chosen.b !== b) return; // others are wanted meanwhile
  [compared, problem] = [answer && { ...answer, asked: { a, b } }, failed];
  draw();
}

// The key of a side's run: what was asked for may be a part of it, or `latest`.
const keyOf = (side, place) => (compared?.asked[side] === chosen[side] ? compared?.runs[place].run : chosen[side]);

function draw() {
  page.title("Compare");
  page.draw(
    h("h1", null, "Compare two runs"),
    runs.length < 2 && !compared && !problem ? h("p", { class: "empty" }, "There are no two runs yet.") : null,
    h("div", { class: "choices" }, SIDES.map(choice)),
    problem ? h("p", { class: "errors" }, problem) : null,
    compared ? [beside(), figures(compared.figures, ["A", "B"], "The difference is A's from B."), charts()] : null,
  );
  for (const [place, side] of SIDES.entries()) {
    const [field, key] = [document.getElementById(side), keyOf(side, place) ?? ""];
    if (field.value !== key) field.value = key;
  }
}

function choice(side, place) {
  const key = keyOf(side, place);
  const known = runs.some((run) => run.run === key);
  return h("p", { class: "choice" }, h("label", { for: side }, `Run ${side.toUpperCase()}`),
    h("select", { id: side, name: side }, known || !key ? null : h("option", { value: key, "data-key": key }, key),
      runs.map((run) => h("option", { value: run.run, "data-key": run.run }, `${run.name} · ${moment(run.started)} · ${run.run}`))));
}

function beside() {
  return h("div", { class: "pair" }, compared.runs.map((run, place) => h("section", { "aria-labelledby": `side${place}` },
    h("h2", { id: `side${place}` }, h("span", { class: "side" }, SIDES[place].toUpperCase()), h("a", { href: addressOf(run.run) }, run.name || run.run)),
    badge(run), h("p", { class: "quiet" }, [run.runner, moment(run.started)].filter(Boolean).join(" · ")), strip(run.outcomes))));
}

function charts() {
  return h("section", { "aria-labelledby": "charts" }, h("h2", { id: "charts" }, "Over the iterations"),
    compared.charts.map((pair, row) => h("div", { class: "pair", "data-key": `pair${row}` }, pair.map((chart, place) => (chart
      ? figure({ ...chart, title: `${SIDES[place].toUpperCase()}: ${chart.title}` }, `${SIDES[place]}-`)
      : h("p", { class: "empty" }, `${SIDES[place].toUpperCase()} has nothing of this to show.`))))));
}
