// Two runs beside each other. Which ones is in the address; where one is missing, the page suggests.

import { addressOf, ask } from "./api.js";
import { figure } from "./chart.js";
import { h } from "./dom.js";
import { badge, strip } from "./marks.js";
import { figures } from "./tables.js";
import { moment } from "./words.js";

const SIDES = ["a", "b"];
let page;
let runs = [];
let chosen;
let compared = null;
let problem = "";

export async function begin(its) {
  page = its;
  page.link("still");
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
  for (const side of SIDES) document.getElementById(side).value = chosen[side] ?? "";
  await read();
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
  try {
    compared = await ask(`/api/compare?${new URLSearchParams(chosen)}`);
    problem = "";
  } catch (error) {
    [compared, problem] = [null, error.message];
  }
  draw();
}

function draw() {
  page.title("Compare");
  page.draw(
    h("h1", null, "Compare two runs"),
    runs.length < 2 && !compared && !problem ? h("p", { class: "empty" }, "There are no two runs yet.") : null,
    h("div", { class: "choices" }, SIDES.map((side, place) => choice(side, place))),
    problem ? h("p", { class: "errors" }, problem) : null,
    compared ? [beside(), figures(compared.figures, ["A", "B"], "The difference is A's from B."), charts()] : null,
  );
}

function choice(side, place) {
  const key = compared?.runs[place]?.run ?? chosen[side];
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
