// The iterations of a run, a line each on one scale of time, with what was in them: agents, tools, tests, reboots.

import { apiOf, ask } from "./api.js";
import { h, s } from "./dom.js";
import { dollars, plural, since, span, whole } from "./words.js";

const WIDE = 1000;
const MARKS = { success: "✓", failure: "✗", timeout: "t", cancelled: "c" };
const ROWS = { agent: [7, 12], tool: [9, 8], tests: [7, 12], reboot: [1, 24] };

export class Waterfall {
  #key;
  #known = new Map();
  #before = null;
  #newest = 0;
  #opened = new Set();
  #changed;
  #forgotten = 0;

  // For a run; changed is called when there is something else to be drawn.
  constructor(key, main, changed) {
    this.#key = key;
    this.#changed = changed;
    main.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.dataset.place) this.#toggle(Number(button.dataset.place));
      if (button?.id === "earlier") this.more();
    });
  }

  // Read the newest iterations; where more have come than one answer holds, all of them.
  async refresh() {
    let answer = await this.#read("");
    const seen = this.#newest;
    this.#newest = answer.total;
    this.#forgotten = answer.parts_forgotten;
    if (this.#before === null && !seen) this.#before = answer.before;
    while (seen && answer.before !== null && answer.before > seen) answer = await this.#read(`?before=${answer.before}`);
  }

  // Read those before the ones that are shown.
  async more() {
    if (this.#before === null) return;
    this.#before = (await this.#read(`?before=${this.#before}`)).before;
    this.#changed();
  }

  async #read(query) {
    const answer = await ask(apiOf(this.#key, `/iterations${query}`));
    for (const each of answer.iterations) this.#known.set(each.place, each);
    return answer;
  }

  #toggle(place) {
    if (!this.#opened.delete(place)) this.#opened.add(place);
    this.#changed();
  }

  draw() {
    const shown = [...this.#known.values()].sort((a, b) => b.place - a.place);
    if (!shown.length) return h("p", { class: "empty" }, "No iteration yet.");
    const scale = Math.max(...shown.map(lengthOf), 0.001);
    return [
      h("ul", { class: "legend" }, ["agent", "tool", "tests", "reboot"].map((kind) => h("li", null, h("span", { class: `key part-${kind}`, "aria-hidden": "true" }), kind === "tool" ? "tools" : kind))),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of iterations" }, h("table", { class: "waterfall" },
        h("caption", { class: "unseen" }, "Iterations, the newest first, with what was in them"),
        h("thead", null, h("tr", null,
          h("th", { scope: "col" }, h("span", { class: "unseen" }, "Iteration")), h("th", { scope: "col", class: "time" }, axis(scale)), h("th", { scope: "col", class: "number" }, "Time"),
          ["Tests", "Context", "Cost", "Tools"].map((title) => h("th", { scope: "col", class: "number wide" }, title)))),
        h("tbody", null, shown.map((each) => [this.#line(each, scale), this.#opened.has(each.place) ? detail(each) : null])))),
      this.#before === null ? null : h("p", null, h("button", { id: "earlier", type: "button" }, `Earlier iterations (${whole(this.#before)} more)`)),
      this.#forgotten ? h("p", { class: "quiet" }, "Of the oldest ones only the time is kept.") : null,
    ];
  }

  #line(each, scale) {
    const open = this.#opened.has(each.place);
    const outcome = each.outcome ?? (each.running ? "running" : "unknown");
    return h("tr", { "data-key": `i${each.place}` },
      h("th", { scope: "row" }, h("button", { type: "button", class: "turner", "data-place": each.place, "aria-expanded": String(open), "aria-label": `Iteration ${each.number}, ${outcome}: what was in it` },
        h("span", { class: `mark ${outcome}`, "aria-hidden": "true" }, MARKS[each.outcome] ?? (each.running ? "▸" : "?")), h("span", { "aria-hidden": "true" }, String(each.number)))),
      h("td", { class: "time" }, bar(each, scale, outcome)),
      h("td", { class: "number" }, span(ageOf(each))),
      h("td", { class: "number wide" }, each.tests ? `${each.tests.passed}/${each.tests.total}` : ""),
      h("td", { class: "number wide" }, each.context === null ? "" : `${Math.round(each.context)} %`),
      h("td", { class: "number wide" }, each.cost ? dollars(each.cost) : ""),
      h("td", { class: "number wide" }, each.tools ? whole(each.tools) : ""));
  }
}

const ageOf = (each) => each.duration ?? (each.running ? since(each.started) : null);
const endOf = (part, each) => part.offset + (part.duration ?? Math.max(0, (ageOf(each) ?? 0) - part.offset));
const lengthOf = (each) => Math.max(ageOf(each) ?? 0, ...each.parts.map((part) => endOf(part, each)));

function axis(scale) {
  return h("span", { class: "axis" }, [0, 0.25, 0.5, 0.75, 1].map((part) => h("span", null, part ? span(part * scale) : "0")));
}

function bar(each, scale, outcome) {
  const x = (seconds) => Math.max(0, (seconds / scale) * WIDE);
  const counts = ["agent", "tool", "tests", "reboot"].map((kind) => [kind, each.parts.filter((part) => part.kind === kind).length]);
  const said = counts.filter(([, number]) => number).map(([kind, number]) => (kind === "tests" ? "tests" : plural(number, kind))).join(", ");
  const label = [`Iteration ${each.number}: ${outcome}`, span(ageOf(each)), said].filter(Boolean).join(", ");
  return s("svg", { viewBox: `0 0 ${WIDE} 26`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    [0.25, 0.5, 0.75].map((part) => s("path", { d: `M${part * WIDE} 0V26`, class: "grid" })),
    s("rect", { x: 0, y: 3, width: Math.max(2, x(ageOf(each) ?? 0)), height: 20, class: `whole ${outcome}` }),
    each.parts.map((part) => {
      const [y, height] = ROWS[part.kind];
      const failed = part.outcome !== null && part.outcome !== "success" ? " failed" : "";
      return s("rect", { x: x(part.offset), y, width: Math.max(2.5, x(endOf(part, each)) - x(part.offset)), height, class: `part-${part.kind}${failed}` },
        s("title", null, `${[part.kind, part.name].filter(Boolean).join(" ")}, after ${span(part.offset)}, ${part.duration === null ? "goes on" : span(part.duration)}${failed ? `, ${part.outcome}` : ""}`));
    }));
}

function detail(each) {
  const parts = [...each.parts].sort((a, b) => a.offset - b.offset);
  const facts = [
    each.error_type ? `error ${each.error_type}` : "", each.exit_code ? `exit code ${each.exit_code}` : "",
    each.score === null ? "" : `score ${each.score.toFixed(2)}`, each.files ? plural(each.files, "file") : "", each.tokens ? `${whole(each.tokens)} tokens` : "",
    each.reboots ? plural(each.reboots, "reboot") : "", each.parts_left_out ? `${whole(each.parts_left_out)} older parts are not shown` : "",
  ].filter(Boolean).join(" · ");
  return h("tr", { class: "detail", "data-key": `d${each.place}` }, h("td", { colspan: 7 },
    facts ? h("p", null, facts) : null,
    parts.length ? h("table", null, h("caption", { class: "unseen" }, `What was in iteration ${each.number}`),
      h("thead", null, h("tr", null, ["What", "Name", "After", "Took", "Outcome"].map((title, place) => h("th", { scope: "col", class: place === 2 || place === 3 ? "number" : null }, title)))),
      h("tbody", null, parts.map((part) => h("tr", null,
        h("th", { scope: "row" }, h("span", { class: `key part-${part.kind}`, "aria-hidden": "true" }), ` ${part.kind}`), h("td", null, part.name),
        h("td", { class: "number" }, span(part.offset)), h("td", { class: "number" }, part.duration === null ? "goes on" : span(part.duration)), h("td", null, part.outcome ?? ""))))) : h("p", { class: "quiet" }, "Nothing was told of what was in it.")));
}
