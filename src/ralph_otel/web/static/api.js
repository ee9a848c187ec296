// Questions to the server. The browser asks with the ETag it has, so that what is the same is not sent again.

export async function ask(path) {
  const response = await fetch(path, { cache: "no-cache" });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `the server answers ${response.status}`);
  return answer;
}

export const addressOf = (key) => `/runs/${encodeURIComponent(key)}`;
export const apiOf = (key, what = "") => `/api${addressOf(key)}${what}`;

// Do something soon, but no more than once at a time and once in so many milliseconds; the last wish counts.
export function atMost(pause, act) {
  let busy = false;
  let wanted = false;
  return async function again() {
    wanted = true;
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      await act();
      await new Promise((done) => setTimeout(done, pause));
    }
    busy = false;
  };
}
