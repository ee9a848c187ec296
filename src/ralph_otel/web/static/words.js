// Figures and times as a person reads them; the same as in the terminal.

// A span of time: 0.3s, 12s, 3m12s, 2h03m, 4d05h.
export function span(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "";
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)}s`;
  const whole = Math.round(seconds);
  const two = (value) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d${two(Math.floor((whole % 86400) / 3600))}h`;
}

// A number in few characters: 999, 1.20k, 12.3k, 1.20M.
export function amount(value) {
  if (value < 1000) return String(Math.round(value * 100) / 100);
  for (const unit of ["k", "M", "G", "T"]) {
    value /= 1000;
    if (value < 999.5) return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + unit;
  }
  return ">999T";
}

// US dollars.
export function dollars(value) {
  if (value > 0 && value < 0.01) return `$${value.toFixed(4)}`;
  const digits = value < 1000 ? 2 : 0;
  return `$${value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

export const percent = (ratio) => `${Math.round(ratio * 100)} %`;

export const whole = (value) => value.toLocaleString("en");

export function size(bytes) {
  for (const unit of ["B", "KB", "MB", "GB", "TB"]) {
    if (bytes < 1000 || unit === "TB") return `${bytes < 10 && unit !== "B" ? bytes.toFixed(1) : Math.round(bytes)} ${unit}`;
    bytes /= 1000;
  }
}

// Seconds since a time, by the server's clock.
let ahead = 0;
export const setClock = (ts) => { ahead = Date.parse(ts) - Date.now(); };
export const since = (time) => (time === null ? null : Math.max(0, (Date.now() + ahead - Date.parse(time)) / 1000));

export function ago(time) {
  const seconds = since(time);
  if (seconds === null) return "";
  return seconds < 5 ? "just now" : `${span(Math.round(seconds))} ago`;
}

// A time of day here; with the day where it is not today.
export function moment(time) {
  if (time === null) return "";
  const when = new Date(time);
  const clock = { hour: "2-digit", minute: "2-digit", hour12: false };
  const today = when.toDateString() === new Date(Date.now() + ahead).toDateString();
  return when.toLocaleString("en-GB", today ? clock : { day: "numeric", month: "short", ...clock });
}

export const plural = (number, thing) => `${whole(number)} ${thing}${number === 1 ? "" : "s"}`;

// What is said of a run's state, and how it is shown.
const STATES = { running: ["running", "running"], paused: ["paused", "paused"], dead: ["vanished", "bad"], "no end": ["no end", "open"] };
export function stateOf(run) {
  if (run.state !== "stopped") return STATES[run.state] ?? [run.state, "open"];
  const style = run.good ? "good" : run.stop_reason === "user_signal" ? "open" : "bad";
  return [(run.stop_reason ?? "stopped").replaceAll("_", " "), style];
}

export const goes = (run) => run.state === "running" || run.state === "paused";

// Seconds a run has taken by now.
export const taken = (run) => run.execution_time + (run.state === "running" ? since(run.ts) : 0);
