"use strict";
// The page Jobs: a job is planned, its cost is shown, and then it is started. It goes on when the page is left.
(() => {
  const $ = (id) => document.getElementById(id);
  const { make, said } = window.Drawing;
  const { ask, send, toast } = window.View;
  const EVERY = 700;
  const ended = (line) => ["done", "stopped", "failed"].includes(line.state);
  const count = (value, one, many = `${one}s`) => `${value.toLocaleString("en")} ${value === 1 ? one : many}`;
  const pause = () => new Promise((go) => { setTimeout(go, EVERY); });
  const dollars = (cost) => (cost === null ? "an unknown price" : cost === 0 ? "nothing" : cost < 0.01 ? "less than $0.01" : `about $${cost.toFixed(2)}`);

  // A job that was started: what it is at, a bar, and its end.
  function outcome(line) {
    if (line.state === "failed") return [line.error, line.hint].filter(Boolean).join(": ");
    if (line.state === "stopped") return "stopped; what was finished is kept";
    const { value } = line;
    if (value.nothing_to_do) return "there was nothing to do";
    return `done: ${count(value.labels, "name")}, ${count(value.uninterpretable, "feature")} uninterpretable, ${count(value.scores, "score")}`;
  }
  function draw(place, line, request) {
    const head = said("b", "", `${request.what} ${request.dictionary}`), text = make("span");
    place.className = line.state;
    if (ended(line)) {
      text.append(said("span", line.state === "failed" ? "warn" : "", outcome(line)));
      place.replaceChildren(head, text);
      return;
    }
    const bar = make("progress"), stop = make("button", "", "Stop"), at = line.progress || {};
    bar.max = 1;
    bar.setAttribute("aria-label", "Progress of the job");
    if (at.total) bar.value = at.done / at.total;
    stop.type = "button";
    stop.addEventListener("click", () => { stop.disabled = true; send(`/api/work/${line.id}/stop`, {}).catch((error) => toast(error.message)); });
    const note = line.notes[line.notes.length - 1] || "";
    text.append(said("span", "", line.state === "waiting" ? "waiting" : at.what ? `${at.what}: ${count(at.done, at.unit)} of ${at.total.toLocaleString("en")}` : note || "starting"));
    if (at.text) text.append(" ", said("small", "", at.text));
    place.replaceChildren(head, bar, text, ...(document.body.hasAttribute("data-readonly") ? [] : [stop]));
  }
  async function follow(place, first, request) {
    let line = first, drawn = "";
    for (;;) {
      const now = JSON.stringify(line);
      // A button that is drawn anew while it is clicked is clicked in vain.
      if (now !== drawn) draw(place, line, request);
      drawn = now;
      if (ended(line)) return;
      await pause();
      try { line = await ask(`/api/work/${line.id}`); } catch (error) { toast(error.message); return; }
    }
  }
  const own = JSON.parse($("own").textContent);
  document.querySelectorAll("[data-ticket]").forEach((place, i) => follow(place, own[i], own[i].request));

  // What other processes do. A job of this view is told by its own line.
  async function elsewhere() {
    let found;
    try { found = await ask("/api/jobs"); } catch { return; }
    const isOwn = found.jobs.some((line) => line.state === "running");
    const others = found.work.filter((one) => one.status !== "running" || !isOwn);
    $("elsewhere").replaceChildren(...others.map((one) => {
      const line = make("li"), bar = make("progress");
      bar.max = 1;
      bar.value = one.done / Math.max(one.total, 1);
      bar.setAttribute("aria-label", one.kind);
      const far = `${one.done.toLocaleString("en")} of ${one.total.toLocaleString("en")}`;
      line.append(said("b", "", one.kind), " ", said("span", "", one.dictionary), " ", bar, ` ${far}`);
      if (one.status === "running") line.append(" ", said("small", "", one.note));
      else line.append(", stopped", one.command ? make("p", "next", "It goes on with ") : ": the same command goes on");
      line.querySelector("p")?.append(said("code", "", one.command));
      return line;
    }));
    $("nothing").hidden = Boolean(found.work.length || $("jobs").children.length);
    setTimeout(elsewhere, 3000);
  }
  setTimeout(elsewhere, 3000);

  const form = $("job");
  if (!form) return;
  // Latents as people write them: 3, 17, 40-60.
  function latents(text) {
    const found = new Set();
    for (const part of text.split(/[\s,;]+/).filter(Boolean)) {
      const range = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part);
      if (!range) throw new Error(`${part} is no feature: write numbers, such as 3, 17, 40-60`);
      const [first, last] = [Number(range[1]), Number(range[2] || range[1])];
      if (last < first || last - first > 1999) throw new Error(`${part} is no range of at most 2,000 features`);
      for (let latent = first; latent <= last; latent += 1) found.add(latent);
    }
    return [...found];
  }
  function asked() {
    const given = new FormData(form), what = given.get("what"), labels = what === "label";
    const number = (name) => (given.get(name) ? Number(given.get(name)) : null);
    return {
      what, dictionary: given.get("dictionary"), model: given.get("model").trim(), max_cost: number("max_cost"),
      labeler: labels ? given.get("labeler") : "", judge: labels ? "" : given.get("judge"),
      features: labels ? latents(given.get("features")) : [], count: labels ? number("count") : null,
      methods: labels ? [] : given.getAll("methods"), score: given.has("score"), retry_failed: given.has("retry_failed"),
    };
  }
  function turn() {
    const what = new FormData(form).get("what");
    form.querySelectorAll("[data-of]").forEach((one) => { one.hidden = one.dataset.of !== what; });
  }
  form.addEventListener("change", () => { turn(); $("plan").hidden = true; });
  turn();

  async function start(request, button) {
    button.disabled = true;
    try {
      const line = await send("/api/jobs", request), place = make("li");
      $("plan").hidden = true;
      $("jobs").prepend(place);
      $("nothing").hidden = true;
      place.scrollIntoView({ block: "nearest" });
      follow(place, line, request);
    } catch (error) {
      toast(error.message);
      button.disabled = false;
    }
  }
  function show(line, request) {
    if (line.state !== "done") {
      $("plan").replaceChildren(said("p", "warn", line.state === "failed" ? [line.error, line.hint].filter(Boolean).join(": ") : line.state));
      return;
    }
    const { steps, cost, calls, nothing_to_do } = line.value, list = make("ol");
    list.append(...steps.map((step) => said("li", step.needed ? "" : "done", step.text.replace(/\s+/g, " "))));
    const button = make("button", "go", "Start"), sum = make("p");
    button.type = "button";
    button.addEventListener("click", () => start(request, button));
    if (nothing_to_do) sum.append(steps.length ? "Nothing to do: all of it is there." : "None of this can be done here.");
    else sum.append(calls ? `${count(calls, "call")} of a remote model, for ` : "It costs ", make("b", "", dollars(cost)), ". ", button);
    // Such as a score whose judge is missing.
    $("plan").replaceChildren(list, ...line.notes.map((note) => said("p", "note", note)), sum);
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    $("plan").hidden = false;
    $("plan").replaceChildren(make("p", "note", "planning"));
    try {
      const request = asked();
      let line = await send("/api/jobs/plan", request);
      while (!ended(line)) {
        if (line.before) $("plan").replaceChildren(make("p", "note", "planning begins when the job under way is done"));
        await pause();
        line = await ask(`/api/work/${line.id}`);
      }
      show(line, request);
    } catch (error) {
      $("plan").replaceChildren(said("p", "warn", error.message));
    }
  });
})();
