// One run: how it stands, its charts, its iterations, what adds up by name, and the runs before it.

import { apiOf, ask, atMost } from "./api.js";
import { figure } from "./chart.js";
import { h } from "./dom.js";
import { Live } from "./live.js";
import { badge, gauge, strip, testsOf, turn } from "./marks.js";
import { figures, pairs, table } from "./tables.js";
import { Waterfall } from "./waterfall.js";
import { ago, amount, dollars, goes, moment, setClock, size, span, stateOf, taken } from "./words.js";

// Tables of iterations come last, and are opened when they are wanted: the iterations themselves are above.
const wide = (table) => table.columns.length > 7;

const PAUSE = 1000;
let page;
let run;
let detail;
let earlier = null;
let waterfall;
let drawnOf = null;

export async function begin(its) {
  page = its;
  const asked = decodeURIComponent(location.pathname.slice("/runs/".length));
  detail = await ask(apiOf(asked));
  run = detail.run;
  waterfall = new Waterfall(run.run, page.main, draw);
  await waterfall.refresh();
  draw();
  const refresh = atMost(PAUSE, read);
  new Live({
    link: page.link,
    hello: ({ ts }) => setClock(ts),
    run(told) {
      if (told.run !== run.run) return;
      const changed = told.version !== detail.run.version || told.state !== detail.run.state;
      if (goes(run) && !goes(told)) page.say(`${told.name}: ${stateOf(told)[0]}`);
      run = told;
      draw();
      if (changed) refresh();
    },
  }, [run.run]);
  setInterval(() => document.hidden || !goes(run) || draw(), 1000);
  earlier = await ask(apiOf(run.run, "/earlier"));
  draw();
}

async function read() {
  try {
    detail = await ask(apiOf(run.run));
    await waterfall.refresh();
    draw();
  } catch {
    // the connection is lost, which is shown already; the next event asks again
  }
}

function draw() {
  const same = drawnOf === detail;
  drawnOf = detail;
  page.title(`${goes(run) ? "▸ " : ""}${run.name || run.run}`);
  page.draw(
    h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: "/" }, "Loops"), h("span", { "aria-hidden": "true" }, "/"), h("span", null, run.run)),
    h("div", { class: "headline" }, h("h1", null, run.name || run.run), badge(run)),
    h("p", { class: "quiet about" }, about()),
    goes(run) ? now() : h("div", { class: "verdict" }, h("p", null, h("strong", null, detail.status)), detail.summary.length ? h("p", null, detail.summary.join(" ")) : null),
    detail.warnings.length ? h("ul", { class: "errors" }, detail.warnings.map((each) => h("li", null, each))) : null,
    detail.facts.length ? h("section", { "aria-labelledby": "glance" }, h("h2", { id: "glance" }, "At a glance"), pairs(facts(), "facts")) : null,
    detail.charts.length ? section("charts", "Over the iterations", same, () => h("div", { class: "charts" }, detail.charts.map((each) => figure(each)))) : null,
    section("iterations", "Iterations", false, () => waterfall.draw()),
    before(),
    detail.tables.length ? section("tables", "In detail", same, () => h("div", { class: "tables" }, [...detail.tables].sort((a, b) => wide(a) - wide(b)).map((each) => table({ ...each, folded: each.folded || wide(each) })))) : null,
  );
}

// A section of the page; where it is the same as it was, what is shown is kept.
function section(id, title, same, content) {
  if (same) return h("section", { "data-key": id, "data-keep": true });
  return h("section", { "data-key": id, "aria-labelledby": id }, h("h2", { id }, title), content());
}

function about() {
  return [run.runner, `began ${moment(run.started)}`, goes(run) ? "" : `ended ${ago(run.last_event)}`].filter(Boolean).join(" · ");
}

// The time of a run that goes on is newer than the rest.
function facts() {
  return detail.facts.map((each) => (each.title === "Time" && goes(run) ? { ...each, text: span(taken(run)) } : each));
}

function now() {
  const agent = run.agents.map((each) => [each.name, each.model].filter(Boolean).join(" ")).join(", ");
  return h("section", { class: "now", "aria-labelledby": "now" },
    h("h2", { id: "now", class: "unseen" }, "Now"),
    h("div", { class: "turn" }, turn(run)),
    strip(run.outcomes),
    h("dl", { class: "figures" },
      one("Agent", agent || "none at work", run.tool ? h("span", { class: "quiet" }, run.tool) : null),
      one("Context", run.context === null ? "" : `${Math.round(run.context)} %`, gauge(run.context, run.redline)),
      one("Tests", testsOf(run), null),
      one("Cost", run.cost ? dollars(run.cost) : "", run.cost_per_hour ? h("span", { class: "quiet" }, `${dollars(run.cost_per_hour)} an hour`) : null),
      one("Tokens", run.tokens ? amount(run.tokens) : "", null),
      one("Memory", run.memory === null ? "" : size(run.memory), null),
      one("Last event", ago(run.last_event), null)));
}

function one(title, text, more) {
  return text === "" ? null : h("div", null, h("dt", null, title), h("dd", null, h("b", null, text), more));
}

function before() {
  if (!earlier?.runs.length) return null;
  const last = earlier.runs[0];
  const note = `Before: the median of the last ${earlier.runs.length === 1 ? "finished run" : `${earlier.runs.length} finished runs`} of this loop.`;
  const link = `/compare?${new URLSearchParams({ a: run.run, b: last })}`;
  return h("section", { "aria-labelledby": "before" }, h("h2", { id: "before" }, "Compared with earlier runs"), figures(earlier.figures, ["This run", "Before"], note), h("p", null, h("a", { href: link }, "Side by side with the run before")));
}
