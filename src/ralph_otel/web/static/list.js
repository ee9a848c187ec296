// The list of loops: those that run as cards, those that ended as a table.

import { addressOf } from "./api.js";
import { h } from "./dom.js";
import { Live } from "./live.js";
import { badge, gauge, passRate, spark, strip, testsOf, turn } from "./marks.js";
import * as order from "./order.js";
import { ago, amount, dollars, goes, moment, percent, setClock, size, span, stateOf, whole } from "./words.js";

const runs = new Map();
let home = { reading: true, errors: [] };
let folder = "";
let wanted = "";
let page;

export async function begin(its, ask) {
  page = its;
  page.main.addEventListener("input", (event) => {
    if (event.target.id === "filter") {
      wanted = event.target.value.toLowerCase();
      draw();
    }
  });
  order.listen(page.main, (said) => {
    draw();
    page.say(said);
  });
  const first = await ask("/api/runs");
  folder = first.home;
  home = first;
  for (const run of first.runs) runs.set(run.run, run);
  draw();
  new Live({
    link: page.link,
    hello(said) {
      setClock(said.ts);
      const there = new Set(said.runs);
      for (const key of runs.keys()) if (!there.has(key)) runs.delete(key);
      later();
    },
    run(run) {
      tell(runs.get(run.run), run);
      runs.set(run.run, run);
      later();
    },
    gone({ run }) {
      runs.delete(run);
      later();
    },
    home(said) {
      home = said;
      later();
    },
  });
  setInterval(() => document.hidden || draw(), 1000);
}

// Say it where a loop that was seen running has ended.
function tell(before, run) {
  if (before && goes(before) && !goes(run)) page.say(`${run.name}: ${stateOf(run)[0]}`);
}

let waiting = false;
function later() {
  if (!waiting) requestAnimationFrame(() => { waiting = false; draw(); });
  waiting = true;
}

const latest = (run) => Date.parse(run.last_event ?? 0);
const matches = (run) => [run.name, run.run, run.runner ?? "", stateOf(run)[0]].some((text) => text.toLowerCase().includes(wanted));

function draw() {
  const all = [...runs.values()];
  const going = order.ordered(all.filter(goes), (a, b) => (a.started < b.started ? 1 : -1));
  const ended = order.ordered(all.filter((run) => !goes(run)), (a, b) => latest(b) - latest(a));
  page.title(going.length ? `${going.length} running` : "Loops");
  page.draw(
    h("div", { class: "headline" }, h("h1", null, "Loops"), h("p", { class: "totals" }, totals(going, ended))),
    home.errors.length ? h("ul", { class: "errors" }, home.errors.map((each) => h("li", null, each))) : null,
    all.length > 1 ? filter() : null,
    all.length ? null : nothing(),
    all.length ? section("Running", going.filter(matches), cards, "No loop runs just now.") : null,
    ended.length ? section("Ended", ended.filter(matches), table, "None is like that.") : null,
  );
  order.tellField();
}

function totals(going, ended) {
  const vanished = ended.filter((run) => run.state === "dead").length;
  const every = [...going, ...ended];
  const cost = every.reduce((sum, run) => sum + run.cost, 0);
  const rate = going.reduce((sum, run) => sum + run.cost_per_hour, 0);
  return [
    `${going.length} running`,
    vanished ? `${vanished} vanished` : "",
    ended.length - vanished ? `${ended.length - vanished} ended` : "",
    cost ? dollars(cost) : "",
    rate ? `${dollars(rate)} an hour` : "",
    home.reading ? "reading the journals …" : "",
  ].filter(Boolean).join(" · ");
}

function filter() {
  return h("p", { class: "filter" }, h("label", { for: "filter" }, "Only loops with"), h("input", { id: "filter", type: "search", autocomplete: "off", spellcheck: "false" }), order.field());
}

function nothing() {
  if (home.reading) return h("p", { class: "empty" }, "Reading the journals …");
  return h("div", { class: "empty" },
    h("p", null, "No runs yet. A first one:"),
    h("pre", null, "ralph-otel run -- COMMAND…"),
    folder ? h("p", { class: "quiet" }, "It appears here by itself. The journals are in ", h("code", null, folder), ".") : null);
}

function section(title, shown, draw, none) {
  const id = title.toLowerCase();
  return h("section", { "aria-labelledby": id, "data-key": id }, h("h2", { id }, title, h("span", { class: "count" }, String(shown.length))), shown.length ? draw(shown) : h("p", { class: "empty" }, none));
}

const link = (run) => h("a", { href: addressOf(run.run) }, run.name || run.run);

// -- those that run ---------------------------------------------------------------------------------------------------

function cards(shown) {
  return h("ul", { class: "cards" }, shown.map(card));
}

function card(run) {
  return h("li", { class: "card", "data-key": run.run },
    h("h3", null, link(run)),
    badge(run),
    h("p", { class: "quiet by" }, [run.runner, moment(run.started), doing(run)].filter(Boolean).join(" · ")),
    h("div", { class: "turn" }, turn(run)),
    strip(run.outcomes),
    h("dl", { class: "figures" },
      figure("Context", run.context === null ? "" : `${Math.round(run.context)} %`, gauge(run.context, run.redline)),
      figure("Tests", testsOf(run), run.tests ? spark(run.tests.trend, `Tests that pass, ${passRate(run)} now`, { top: 1, zoom: true }) : null),
      figure("Cost", run.cost ? dollars(run.cost) : "", run.cost_per_hour ? h("span", { class: "quiet" }, `${dollars(run.cost_per_hour)}/h`) : null),
      figure("Tokens", run.tokens ? amount(run.tokens) : "", run.tokens_per_hour ? h("span", { class: "quiet" }, `${amount(run.tokens_per_hour)}/h`) : null),
      figure("Progress", run.progress ? percent(run.progress.rate) : "", run.progress?.no_progress_streak > 2 ? h("span", { class: "warn" }, `${run.progress.no_progress_streak} without`) : null),
      figure("Reboots", run.reboots ? whole(run.reboots) : "", null),
      figure("Machine", run.memory === null ? "" : size(run.memory), run.cpu === null ? null : h("span", { class: "quiet" }, `${percent(run.cpu)} cpu`)),
    ));
}

function figure(title, text, more) {
  return text === "" ? null : h("div", null, h("dt", null, title), h("dd", null, h("b", null, text), more));
}

function doing(run) {
  const agent = run.agents.map((each) => [each.name, each.model].filter(Boolean).join(" ")).join(", ");
  return [agent, run.tool].filter(Boolean).join(" → ");
}

// -- those that ended -------------------------------------------------------------------------------------------------

const COLUMNS = { name: null, state: null, success: "wide", iterations: "number wide", tests: "number wide", cost: "number", time: "number wide", ended: "number wide" };

function table(shown) {
  return h("div", { class: "scroll" }, h("table", { class: "runs" },
    h("caption", { class: "unseen" }, "Loops that ended"),
    h("thead", null, h("tr", null, Object.entries(COLUMNS).map(([by, style]) => order.title(by, style)))),
    h("tbody", null, shown.map(row))));
}

function row(run) {
  return h("tr", { "data-key": run.run },
    h("th", { scope: "row" }, link(run), h("span", { class: "quiet by" }, [run.runner, moment(run.started)].filter(Boolean).join(" · "))),
    h("td", null, badge(run)),
    h("td", { class: "wide" }, strip(run.outcomes)),
    h("td", { class: "number wide" }, whole(run.iterations)),
    h("td", { class: "number wide" }, testsOf(run)),
    h("td", { class: "number" }, run.cost ? dollars(run.cost) : ""),
    h("td", { class: "number wide" }, span(run.execution_time)),
    h("td", { class: "number wide" }, h("time", { datetime: run.last_event, title: run.last_event }, ago(run.last_event))));
}
