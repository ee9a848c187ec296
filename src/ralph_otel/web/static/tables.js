// Tables of texts, as the report has them, and pairs of a title and a text.

import { h } from "./dom.js";

export function table({ title, columns, rows, note, folded }) {
  const frame = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, h("table", null,
    h("caption", { class: note ? "quiet" : "unseen" }, note || title),
    h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: column.number ? "number" : null }, column.title)))),
    h("tbody", null, rows.map((row) => h("tr", null, row.map((text, place) =>
      h(place ? "td" : "th", { scope: place ? null : "row", class: columns[place].number ? "number" : null }, text)))))));
  const key = { "data-key": `table ${title}` };
  if (folded) return h("details", { class: "block", ...key }, h("summary", null, h("h3", null, title)), frame);
  return h("section", { class: "block", ...key }, h("h3", null, title), frame);
}

export function pairs(list, style) {
  return h("dl", { class: style }, list.map(({ title, text }) => h("div", null, h("dt", null, title), h("dd", null, text))));
}

// Figures of two runs, or of one and those before it.
export function figures(list, titles, note) {
  return table({
    title: "Figures",
    columns: [{ title: "Figure" }, ...titles.map((title) => ({ title, number: true })), { title: "Difference", number: true }],
    rows: list.map((each) => [each.title, each.values[0] ?? "–", each.values[1] ?? "–", each.difference ?? ""]),
    note,
    folded: false,
  });
}
