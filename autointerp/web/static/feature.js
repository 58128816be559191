"use strict";
// The page of one feature: drawings, trials that are opened, features of like direction, and labels by hand.
(() => {
  const $ = (id) => document.getElementById(id);
  const { make, said, cut, figure, places, scores, histogram, steps } = window.Drawing;
  const { ask, send, toast, pictureIn, featureLink, typing } = window.View;
  const page = $("feature"), name = page.dataset.feature, found = JSON.parse($("drawn").textContent);

  $("places").append(...places(found.crops, (number) => pictureIn(found.pictures, number), $("whole")));
  function fill(id, rows, draw) {
    if (rows.length < 2) return;
    $(id).hidden = false;
    $(id).append(...draw(rows));
  }
  fill("activations", found.histogram, histogram);
  fill("by-step", found.steps, steps);
  document.querySelectorAll(".drawn").forEach((place) => {
    place.append(scores([JSON.parse(place.dataset.line)]).firstChild);
  });

  // Trials.
  function trial(one) {
    const right = one.right === null ? "" : one.right ? "right" : "wrong", made = make("li", right);
    if (one.image !== null) {
      made.append(cut({ src: `/pictures/${one.image}.webp`, size: one.size, prompt: one.prompt }, one.box));
    } else {
      made.append(make("div", "blank"));
    }
    const answer = one.holds === null ? (one.value === null ? "no answer" : one.value.toPrecision(3)) : one.holds ? "yes" : "no";
    const line = make("p", "", `${answer}${right ? `, ${right}` : ""}`);
    made.append(line, make("small", "", one.kind));
    if (one.error) made.append(said("small", "warn", one.error));
    made.title = one.prompt;
    return made;
  }
  function opened(details) {
    const place = details.querySelector(".trials");
    ask(`/api/trials/${details.dataset.score}`).then((score) => {
      const asked = make("p", "note");
      const words = said("span", "", score.name);
      asked.append("Asked of ", words, ...(score.judge ? [", judged by ", said("span", "", score.judge)] : []), `: ${score.question || score.method}`);
      const list = make("ul");
      // Wrong answers first: they say what the name misses.
      const order = (one) => (one.right === false ? 0 : one.right === null ? 1 : 2);
      const sorted = [...score.trials].sort((a, b) => order(a) - order(b) || Number(b.truth) - Number(a.truth) || (b.value ?? 0) - (a.value ?? 0));
      for (const [truth, title] of [[true, "Should hold"], [false, "Should not hold"]]) {
        const some = sorted.filter((one) => one.truth === truth);
        if (!some.length) continue;
        const wrong = some.filter((one) => one.right === false).length;
        list.append(make("li", "title", `${title}: ${some.length}${wrong ? `, ${wrong} wrong` : ""}`), ...some.map(trial));
      }
      place.replaceChildren(asked, list);
    }).catch((error) => place.replaceChildren(make("p", "note", error.message)));
  }
  document.querySelectorAll("details.score").forEach((details) => {
    details.addEventListener("toggle", () => { if (details.open && !details.dataset.asked) { details.dataset.asked = "1"; opened(details); } });
  });

  // Features of like direction: the index may have to be opened, so the page does not wait for it.
  ask(`/api/near/${encodeURIComponent(name).replaceAll("%3A", ":")}`).then(({ near }) => {
    if (!near.length) return;
    $("direction").hidden = false;
    $("direction").querySelector(".near").append(...near.map((other) => {
      const link = make("a");
      link.href = featureLink(other.feature, "");
      link.append(said("span", "", other.name || "not labeled"), make("span", "", `#${other.feature.slice(other.feature.lastIndexOf(":") + 1)}  ${figure(other.cosine)}`));
      return link;
    }));
  }).catch(() => { /* a feature without a direction, or a dictionary without an index */ });

  // The icon, painted on a click. The server keeps it while it runs.
  if ($("icon")) {
    const { bench, file } = window.Work, { strengths } = $("icon-row").dataset, doing = bench($("doing"));
    const place = `/api/icons/${encodeURIComponent(name).replaceAll("%3A", ":")}`;
    const show = (done) => {
      $("icon-row").replaceChildren(...["without", ...strengths.split(" ").map((one) => `+${one}`)].map((text, i) => {
        const one = make("span"), image = make("img");
        Object.assign(image, { src: file(done, `${i}.webp`), alt: i ? `The feature alone, strength ${text}` : "Without the feature" });
        one.append(image, make("small", "", text));
        return one;
      }));
      $("paint-icon").hidden = true;
    };
    ask(place).then((known) => { if (known?.state === "done") show(known); }).catch(() => { /* it can be painted all the same */ });
    $("paint-icon").addEventListener("click", async () => {
      try {
        const done = await doing.run(place, {});
        if (done) show(done);
      } catch (error) {
        toast(error.message);
      }
    });
  }

  // Labels by hand. What was done last is kept for this tab, so that it can be taken back on the next page too.
  const hand = $("hand");
  const last = () => { try { return JSON.parse(sessionStorage.getItem("last") || "null"); } catch { return null; } };
  const keep = (value) => { try { sessionStorage.setItem("last", JSON.stringify(value)); } catch { /* a browser may keep nothing */ } };
  const go = (id) => { const link = $(id); if (link) location.assign(link.href); return Boolean(link); };
  const words = { accept: "accepted", reject: "rejected", name: "named" };
  async function act(action, value) {
    hand.querySelectorAll("button").forEach((button) => { button.disabled = true; });
    try {
      const done = await send("/api/labels", { feature: name, action, name: value || "" });
      keep({ label: done.label, feature: name, query: location.search, what: `${words[action]} ${done.name || name}`, fresh: done.new });
      if (!(page.dataset.queue && go("next"))) location.reload();
    } catch (error) {
      toast(error.message);
      hand.querySelectorAll("button").forEach((button) => { button.disabled = false; });
    }
  }
  async function undo() {
    const what = last();
    if (!what || !what.fresh) return;
    try {
      await send("/api/labels/undo", { label: what.label });
      keep({ ...what, fresh: false, what: `taken back: ${what.what}` });
      location.assign(featureLink(what.feature, what.query));
      if (what.feature === name) location.reload();
    } catch (error) {
      toast(error.message);
    }
  }
  if (hand) {
    hand.addEventListener("submit", (event) => {
      event.preventDefault();
      const value = $("own-name").value.trim();
      if (value) act("name", value); else $("own-name").focus();
    });
    hand.querySelectorAll("[data-act]").forEach((button) => {
      button.addEventListener("click", () => (button.dataset.act === "undo" ? undo() : act(button.dataset.act)));
    });
    const what = last();
    if (what && what.fresh) $("undo").hidden = false;
    if (what && !what.told) { toast(what.what); keep({ ...what, told: true }); }
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === $("own-name")) { $("own-name").blur(); return; }
    if (typing(event)) return;
    if (event.key === "ArrowLeft") go("previous");
    else if (event.key === "ArrowRight") go("next");
    else if (event.key === "g") go("back");
    else if (!hand) return;
    else if (event.key === "n") { event.preventDefault(); $("own-name").focus(); }
    else if (event.key === "a" && !hand.querySelector("[data-act=accept]").disabled) act("accept");
    else if (event.key === "r" && !hand.querySelector("[data-act=reject]").disabled) act("reject");
    else if (event.key === "u") undo();
  });
})();
