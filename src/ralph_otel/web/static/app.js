// Which page this is, and what all pages have: the state of the connection, and what is said to those who do not see.

import { ask } from "./api.js";
import { h, plain, show } from "./dom.js";

const WORDS = { connecting: "connecting", live: "live", broken: "connection lost, trying again", resting: "paused" };

const page = {
  main: document.getElementById("main"),

  // The state of the connection.
  link(state) {
    const shown = document.getElementById("link");
    if (shown.dataset.state === state) return;
    const before = shown.dataset.state;
    shown.dataset.state = state;
    shown.querySelector(".word").textContent = WORDS[state];
    if (state === "broken" || before === "broken") page.say(state === "broken" ? "Connection lost" : "Connected again");
  },

  // Something for a screen reader; sparingly.
  say(text) {
    document.getElementById("said").textContent = plain(text);
  },

  title(text) {
    document.title = text ? `${plain(text)} · ralph-otel` : "ralph-otel";
  },

  // Draw the page's content.
  draw(...children) {
    show(page.main, ...children);
    page.main.removeAttribute("aria-busy");
  },

  problem(error) {
    page.title("Not here");
    page.draw(h("h1", null, "Not here"), h("p", { class: "empty" }, error.message), h("p", null, h("a", { href: "/" }, "All loops")));
  },
};

const path = location.pathname;
const name = path === "/" ? "list" : path === "/compare" ? "compare" : "run";
for (const link of document.querySelectorAll("nav a")) {
  if (link.pathname === path) link.setAttribute("aria-current", "page");
}
const { begin } = await import(`./${name}.js`);
try {
  await begin(page, ask);
} catch (error) {
  page.problem(error);
}
