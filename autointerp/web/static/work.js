"use strict";
// Work that takes long: a ticket is asked for until it has ended. Leaving the page stops what it has begun.
(() => {
  const { make } = window.Drawing;
  const { ask, send } = window.View;
  const begun = new Map();
  const EVERY = 140;
  const pause = (time) => new Promise((go) => { setTimeout(go, time); });

  class Stopped extends Error {}
  // What a ticket is at, in words.
  function words(line) {
    if (line.state === "waiting") return line.before ? `waiting, ${line.before} before it` : "waiting";
    const { what, done, total, unit, text } = line.progress || {};
    if (!what) return line.notes[line.notes.length - 1] || "starting";
    return `${what}: ${done} of ${total} ${unit}${total === 1 ? "" : "s"}${text ? `, ${text}` : ""}`;
  }
  const stopping = (id) => fetch(`/api/work/${id}/stop`, { method: "POST", credentials: "same-origin", keepalive: true }).catch(() => {});

  // Begin work at an address, and tell each state of it. The result is the ticket's last line.
  async function begin(address, body, tell) {
    const mine = { id: "", stopped: false };
    const handle = { stop: () => { mine.stopped = true; if (mine.id) stopping(mine.id); } };
    handle.result = (async () => {
      let line = await send(address, body);
      mine.id = line.id;
      begun.set(line.id, mine);
      if (mine.stopped) stopping(line.id);
      try {
        while (line.state === "waiting" || line.state === "running") {
          tell(line);
          await pause(EVERY);
          line = await ask(`/api/work/${line.id}`);
        }
      } finally {
        begun.delete(mine.id);
      }
      if (line.state === "stopped") throw new Stopped("stopped");
      if (line.state === "failed") throw new Error([line.error, line.hint].filter(Boolean).join(": "));
      return line;
    })();
    return handle;
  }
  addEventListener("pagehide", () => begun.forEach((one) => stopping(one.id)));
  const file = (line, name) => `/made/${line.id}/${name}`;

  // A bar of progress with its button, in an element: `run` does work, and one piece follows another.
  function bench(place) {
    const bar = make("progress"), text = make("span"), stop = make("button", "", "Stop");
    bar.max = 1;
    bar.setAttribute("aria-label", "Progress");
    stop.type = "button";
    place.replaceChildren(bar, text, stop);
    place.hidden = true;
    let now = null;
    stop.addEventListener("click", () => now?.stop());
    function tell(line) {
      const { done = 0, total = 0 } = line.progress || {};
      if (line.state === "running" && total) bar.value = done / total; else bar.removeAttribute("value");
      text.textContent = words(line);
    }
    // Returns the ticket's line, or null where it was stopped; a newer run takes the place of one under way.
    async function run(address, body) {
      now?.stop();
      place.hidden = false;
      bar.removeAttribute("value");
      text.textContent = "starting";
      const mine = await begin(address, body, tell);
      now = mine;
      try {
        return await mine.result;
      } catch (error) {
        if (error instanceof Stopped) return null;
        throw error;
      } finally {
        if (now === mine) { now = null; place.hidden = true; }
      }
    }
    return { run, stop: () => now?.stop() };
  }
  window.Work = { begin, bench, file, Stopped };
})();
