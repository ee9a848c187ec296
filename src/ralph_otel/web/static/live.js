// The events of the server. They stop while nobody looks, for a browser has few connections to one server, and go on
// where they were: by Last-Event-ID, which the browser sends after a break, or by ?last= where the break was ours.

const AGAIN = 2000;

export class Live {
  #source = null;
  #last = "";
  #handlers;
  #runs;
  #timer = 0;

  // Handlers by event: hello, run, gone, home, and link with one of connecting, live, broken, resting.
  constructor(handlers, runs = []) {
    this.#handlers = handlers;
    this.#runs = runs;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#rest() : this.#open()));
    addEventListener("pagehide", () => this.#rest());
    addEventListener("pageshow", () => this.#open());
    this.#open();
  }

  #open() {
    if (this.#source || document.hidden) return;
    clearTimeout(this.#timer);
    const asked = new URLSearchParams(this.#runs.map((run) => ["run", run]));
    if (this.#last) asked.set("last", this.#last);
    const source = (this.#source = new EventSource(`/api/events?${asked}`));
    for (const name of ["hello", "run", "gone", "home"]) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) this.#last = event.lastEventId;
        this.#handlers[name]?.(JSON.parse(event.data));
      });
    }
    source.onopen = () => this.#handlers.link("live");
    source.onerror = () => this.#broken(source);
  }

  #broken(source) {
    this.#handlers.link("broken");
    if (source.readyState !== EventSource.CLOSED) return; // it comes back by itself
    this.#close();
    this.#timer = setTimeout(() => this.#open(), AGAIN);
  }

  #rest() {
    this.#close();
    this.#handlers.link("resting");
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }
}
