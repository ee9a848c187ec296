// A chart over a run's iterations. The picture stretches to the width there is, a column being one unit wide and its
// height 100; the words stand outside it, where they keep their size. Below it, the same as a table.

import { h, s } from "./dom.js";

const BAR = 0.76;
const FEW = 8;
const DOTTED = 60;

export function figure(chart, prefix = "") {
  const id = `${prefix}${chart.name}`;
  return h("figure", { class: "chart", "data-key": id },
    h("figcaption", null, h("h3", { id }, chart.title), h("p", { class: "quiet" }, [chart.summary, chart.reading].filter(Boolean).join(" "))),
    chart.series.length > 1 || chart.stacked ? legend(chart.series) : null,
    h("div", { class: "plot" },
      h("div", { class: "scale", "aria-hidden": "true" }, chart.scale.map((text) => h("span", null, text))),
      picture(chart, id),
      ends(chart.columns)),
    chart.columns.length ? asTable(chart) : null);
}

function legend(series) {
  return h("ul", { class: "legend" }, series.map((each) => h("li", null, h("span", { class: `key ${each.style}`, "aria-hidden": "true" }), [each.name, each.total].filter(Boolean).join(" "))));
}

function ends(columns) {
  const named = columns.length <= FEW ? columns : [columns[0].split("–")[0], columns[columns.length >> 1].split("–")[0], columns.at(-1).split("–").at(-1)];
  return h("div", { class: `ends${columns.length <= FEW ? " each" : ""}`, "aria-hidden": "true" }, named.map((text) => h("span", null, text)));
}

function picture(chart, id) {
  const width = chart.columns.length;
  const across = (y, style) => s("path", { d: `M0 ${y}H${width}`, class: style });
  return s("svg", { viewBox: `0 0 ${width} 100`, preserveAspectRatio: "none", role: "img", "aria-labelledby": id },
    [0, 50, 100].map((y) => across(y, "grid")),
    chart.level === null ? null : across(height(chart.level, chart.top), "level"),
    chart.stacked ? bars(chart) : chart.series.map((series) => line(series, chart.top, series === chart.series.at(-1))),
    chart.marked.map((column) => s("path", { d: `M${column + 0.5} 0V100`, class: "reboot" })),
    chart.columns.map((column, place) =>
      s("rect", { x: place, y: 0, width: 1, height: 100, class: "column" }, s("title", null, [`Iteration ${column}`, chart.notes[place]].filter(Boolean).join(": ")))));
}

const height = (value, top) => 100 * (1 - Math.min(value, top) / top);

function bars(chart) {
  const below = chart.columns.map(() => 0);
  const width = Math.min(BAR, chart.columns.length / 16);
  const drawn = chart.series.flatMap((series) => series.values.map((value, place) => {
    if (!value) return null;
    const foot = height(below[place], chart.top);
    below[place] += value;
    const head = height(below[place], chart.top);
    return s("rect", { x: place + (1 - width) / 2, y: head, width, height: foot - head, class: `bar ${series.style}` });
  }));
  return [drawn, chart.dotted.map((place) => s("path", { d: `M${place + 0.5} 96h0`, class: "dot" }))];
}

function line(series, top, filled) {
  const points = series.values.map((value, place) => (value === null ? null : [place + 0.5, height(value, top)]));
  let path = "";
  points.forEach((point, place) => {
    if (point) path += points[place - 1] ? `L${point[0]} ${point[1].toFixed(1)}` : `M${point[0]} ${point[1].toFixed(1)}h0`;
  });
  const known = points.filter(Boolean);
  const gapless = known.length === points.length && known.length > 1;
  return [
    filled && gapless ? s("path", { d: `M${known[0][0]} 100${known.map(([x, y]) => `L${x} ${y.toFixed(1)}`).join("")}L${known.at(-1)[0]} 100Z`, class: `area ${series.style}` }) : null,
    s("path", { d: path, class: `line ${series.style}` }),
    known.length <= DOTTED ? s("path", { d: known.map(([x, y]) => `M${x} ${y.toFixed(1)}h0`).join(""), class: `dot ${series.style}` }) : null,
  ];
}

function asTable(chart) {
  const rows = chart.columns.map((column, place) => [column, chart.notes[place]]).filter(([, note]) => note);
  if (!rows.length) return null;
  return h("details", { class: "as-table" }, h("summary", null, h("span", { class: "unseen" }, `${chart.title}: `), "As a table"),
    h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": `${chart.title}, as a table` }, h("table", null,
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Iteration"), h("th", { scope: "col" }, chart.title))),
      h("tbody", null, rows.map(([column, note]) => h("tr", null, h("th", { scope: "row" }, column), h("td", null, note)))))));
}
