// Small pictures in a line of text. Each says in words what it shows; none needs colours to be understood.

import { h, s } from "./dom.js";
import { percent, plural, since, span, stateOf, taken, whole } from "./words.js";

export function badge(run) {
  const [word, style] = stateOf(run);
  return h("span", { class: `badge ${style}` }, h("span", { class: "lamp", "aria-hidden": "true" }), word);
}

const HEIGHTS = { success: 16, failure: 9, timeout: 9, cancelled: 5 };

// The last outcomes, one bar each: what did not succeed is shorter, too.
export function strip(outcomes, slots = 40) {
  if (!outcomes.length) return h("span", { class: "none" }, "no iteration yet");
  const counts = Object.keys(HEIGHTS).map((each) => [each, outcomes.filter((outcome) => outcome === each).length]);
  const said = counts.filter(([, number]) => number).map(([each, number]) => `${number} ${each}`).join(", ");
  const bars = outcomes.slice(-slots).map((outcome, place) =>
    s("rect", { x: place * 5, y: 16 - HEIGHTS[outcome], width: 3.6, height: HEIGHTS[outcome], rx: 1, class: outcome }));
  const label = `Last ${plural(outcomes.length, "iteration")}: ${said}`;
  return s("svg", { class: "strip", viewBox: `0 0 ${slots * 5} 16`, role: "img", "aria-label": label }, s("title", null, label), bars);
}

// How full the context window is, with the redline.
export function gauge(value, redline) {
  if (value === null) return null;
  const over = value >= redline;
  const label = `Context ${Math.round(value)} %${over ? ", beyond the redline" : ""}`;
  return s("svg", { class: `gauge${over ? " over" : ""}`, viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("title", null, `${label}; the redline is ${Math.round(redline)} %`),
    s("rect", { class: "track", width: 100, height: 8 }),
    s("rect", { class: "fill", width: Math.min(100, value), height: 8 }),
    s("rect", { class: "redline", x: Math.min(99, redline), width: 1, height: 8 }));
}

// The last values as a line, from 0 to top, or from the least where zoom is true.
export function spark(values, label, { top = null, level = null, zoom = false } = {}) {
  if (values.length < 2) return null;
  const most = top ?? Math.max(...values, 1e-9);
  const least = zoom ? Math.min(...values, most - 0.05) : 0;
  const y = (value) => 22 - 20 * Math.min(1, Math.max(0, (value - least) / (most - least || 1)));
  const points = values.map((value, place) => `${((place * 100) / (values.length - 1)).toFixed(1)} ${y(value).toFixed(1)}`);
  return s("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("title", null, label),
    s("path", { class: "area", d: `M0 24L${points.join("L")}L100 24Z` }),
    level === null ? null : s("path", { class: "level", d: `M0 ${y(level)}H100` }),
    s("path", { class: "line", d: `M${points.join("L")}` }));
}

// How far a run has come: of the iterations it may have, else how old the iteration is beside what is usual.
export function meter(ratio, label) {
  return s("svg", { class: "meter", viewBox: "0 0 100 4", preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("rect", { class: "track", width: 100, height: 4 }),
    s("rect", { class: "fill", width: 100 * Math.min(1, ratio), height: 4 }));
}

// The iteration that runs: its number, its age beside what is usual.
export function turn(run) {
  const limit = run.max_iterations ? ` of ${whole(run.max_iterations)}` : "";
  if (!run.iteration) return [h("p", null, h("b", null, `${plural(run.iterations, "iteration")}`), limit && `, at most ${whole(run.max_iterations)}`, ` in ${span(taken(run))}`)];
  const age = since(run.iteration.started);
  const late = run.iteration_p90 && age > run.iteration_p90 * 1.5 && run.state === "running";
  const usual = run.iteration_p50 === null ? "" : `, usually ${span(run.iteration_p50)}`;
  return [
    h("p", null, h("b", null, `Iteration ${whole(run.iteration.number)}${limit}`), " for ", h("span", { class: late ? "warn" : null }, span(age)), late ? `, late: nine in ten take ${span(run.iteration_p90)}` : usual),
    run.max_iterations ? meter(run.iterations / run.max_iterations, `${run.iterations} of ${run.max_iterations} iterations finished`) : null,
  ];
}

export function testsOf(run) {
  if (!run.tests) return "";
  return `${run.tests.passing} of ${run.tests.total}`;
}

export const passRate = (run) => (run.tests ? percent(run.tests.passing / run.tests.total) : "");
