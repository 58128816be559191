"use strict";
// What all pages share: cards, heat, search, and pictures that are dropped. Texts become text nodes.
(() => {
  const $ = (id) => document.getElementById(id);
  const { make, cut, card } = window.Drawing;
  const pictureIn = (pictures, number) => {
    const [width, height, prompt] = pictures[number];
    return { src: `/pictures/${number}.webp`, size: [width, height], prompt };
  };
  const featureLink = (feature, query) => `/feature/${encodeURIComponent(feature).replaceAll("%3A", ":")}${query}`;

  // Talking with the server. An error is one line, and what to do next.
  async function ask(address, options) {
    let answer;
    try { answer = await fetch(address, { credentials: "same-origin", ...options }); } catch { throw new Error("The server does not answer: is `autointerp serve` still running?"); }
    const kind = answer.headers.get("content-type") || "";
    const found = kind.startsWith("application/json") ? await answer.json() : await answer.text();
    if (!answer.ok) throw new Error(found.error ? [found.error, found.hint].filter(Boolean).join(": ") : String(found).slice(0, 300));
    return found;
  }
  const send = (address, value) => ask(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(value) });
  let fading = 0;
  function toast(text, ...more) {
    $("toast").replaceChildren(make("span", "", text), ...more);
    $("toast").hidden = false;
    clearTimeout(fading);
    fading = setTimeout(() => { $("toast").hidden = true; }, 8000);
  }

  // Maps of activation are asked for when they are to be seen.
  const heated = () => document.body.classList.contains("heated");
  function warm(frame) {
    if (frame.dataset.warm || !frame.dataset.crop) return;
    frame.dataset.warm = "1";
    ask(`/maps/${frame.dataset.crop}.json`).then((map) => frame.heat(map)).catch(() => { delete frame.dataset.warm; });
  }
  const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting && heated()) { near.unobserve(entry.target); warm(entry.target); }
  }), { rootMargin: "300px" });
  function turn(on) {
    document.body.classList.toggle("heated", on);
    if ($("heat")) {
      $("heat").setAttribute("aria-pressed", String(on));
      $("plain").setAttribute("aria-pressed", String(!on));
    }
    try { localStorage.setItem("heat", on ? "1" : ""); } catch { /* a browser may keep nothing */ }
    document.querySelectorAll(".cut[data-crop]").forEach((frame) => { near.unobserve(frame); near.observe(frame); });
  }

  // Cards.
  const several = new Set();
  function cardOf(feature, pictures, query, told = true) {
    const [dictionary, index] = [feature.feature.slice(0, feature.feature.lastIndexOf(":")), feature.feature.slice(feature.feature.lastIndexOf(":") + 1)];
    several.add(dictionary);
    const made = card("a", { ...feature, text: feature.explanation }, `${dictionary}:${index}`);
    made.href = featureLink(feature.feature, query);
    if (feature.kind || feature.truth) {
      const truth = make("p", "beside", feature.truth ? "truth " : told ? "no truth" : "no concept holds where it fires");
      if (feature.truth) truth.append(make("b", "", feature.truth));
      // Where cards of all kinds stand together, each says its own.
      if (told && feature.kind && feature.truth) truth.append(" ", make("span", `verdict ${feature.kind.replaceAll(" ", "-")}`, feature.kind));
      made.querySelector("h3").after(truth);
    }
    made.title = feature.name;
    made.fill(feature.crops.map((crop) => {
      const frame = cut(pictureIn(pictures, crop[0]), crop[1], crop[6]);
      frame.dataset.crop = crop[7];
      near.observe(frame);
      return frame;
    }));
    return made;
  }
  document.querySelectorAll("[data-cards]").forEach((place) => {
    ask(place.dataset.cards).then((found) => place.replaceChildren(...found.features.map((one) => cardOf(one, found.pictures, ""))))
      .catch((error) => place.replaceChildren(make("p", "note", error.message)));
  });
  // A list of cards that goes on as one scrolls: the first ones are given, and `address` gives the next ones.
  function endless(grid, first, query, address, told = true) {
    const end = make("div");
    grid.after(end);
    let next = null, busy = false;
    function add(found) {
      grid.append(...found.features.map((one) => cardOf(one, found.pictures, query, told)));
      next = found.next;
    }
    async function more() {
      if (busy || !next) return;
      busy = true;
      try {
        add(await ask(address(next)));
      } catch (error) {
        toast(error.message);
      }
      busy = false;
      if (next && end.getBoundingClientRect().top < innerHeight + 900) more();
    }
    add(first);
    new IntersectionObserver((entries) => { if (entries[0].isIntersecting) more(); }, { rootMargin: "900px" }).observe(end);
  }
  const following = (address, next) => `${address}${address.includes("?") ? "&" : "?"}after=${encodeURIComponent(next)}`;
  document.querySelectorAll("[data-first]").forEach((place) => {
    const first = JSON.parse(place.nextElementSibling.textContent);
    // Of several kinds side by side a few of each are enough.
    endless(place, place.classList.contains("strip") ? { ...first, next: null } : first, "", (next) => following(place.dataset.more, next), false);
  });
  const grid = $("cards");
  if (grid && $("first")) {
    const query = grid.dataset.query;
    endless(grid, JSON.parse($("first").textContent), query, (next) => following(`/api/features${query}`, next));
    // Of a row of cards that are not in view the browser draws nothing, so that a hundred thousand can follow.
    document.addEventListener("keydown", (event) => {
      if (typing(event)) return;
      const cards = [...grid.children], at = cards.indexOf(document.activeElement);
      const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
      const by = { j: 1, k: -1, ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
      if (!by || (at < 0 && event.key.startsWith("Arrow"))) return;
      const to = cards[at < 0 ? 0 : at + by];
      if (to) { event.preventDefault(); to.focus(); to.scrollIntoView({ block: "nearest" }); }
    });
  }

  // Work of other processes goes on while the page is open.
  if ($("work-list")) {
    const look = async () => {
      let found;
      try { found = await ask("/api/status"); } catch { return; }
      const lines = [...$("work-list").children];
      if (found.work.length !== lines.length) { location.reload(); return; }
      found.work.forEach((one, i) => {
        if (lines[i].dataset.status !== one.status) location.reload();
        // A command goes from one thing to the next, such as from an index to labels.
        lines[i].querySelector("b").textContent = one.kind;
        lines[i].querySelector("bdi").textContent = one.dictionary;
        lines[i].querySelector("progress").setAttribute("aria-label", one.kind);
        lines[i].querySelector("progress").value = one.done / Math.max(one.total, 1);
        lines[i].querySelector("span").textContent = `${one.done.toLocaleString("en")} of ${one.total.toLocaleString("en")}`;
      });
      setTimeout(look, 3000);
    };
    setTimeout(look, 3000);
  }

  // What the server still works out: the page is loaded again when all of it is there.
  document.querySelectorAll("[data-until]").forEach((place) => {
    const look = async () => {
      let found;
      try { found = await ask(place.dataset.until); } catch (error) { place.replaceChildren(error.message); return; }
      if (found.done >= found.total) { location.reload(); return; }
      place.querySelector("progress").value = found.done;
      place.querySelector("span").textContent = `${found.done.toLocaleString("en")} of ${found.total.toLocaleString("en")}`;
      setTimeout(look, 400);
    };
    setTimeout(look, 400);
  });

  // Filters: a form of few fields, of which some stand for one word of the address.
  const form = $("filter");
  if (form) {
    const apply = () => {
      const given = new FormData(form), query = new URLSearchParams();
      const [method, least] = [given.get("score_method"), given.get("score_least")];
      if (least) given.set("min_score", method ? `${method}=${least}` : least);
      const [low, high] = [given.get("density_low"), given.get("density_high")];
      if (low || high) given.set("density", `${low ? Number(low) / 100 : ""}:${high ? Number(high) / 100 : ""}`);
      for (const [key, value] of given) if (value && !/^(score|density)_/.test(key)) query.set(key, value);
      location.assign(`/features${query.size ? "?" : ""}${query}`);
    };
    form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
    form.addEventListener("change", (event) => { if (event.target.tagName === "SELECT" && event.target.name !== "score_method") apply(); });
    if ($("sort")) $("sort").addEventListener("change", apply);
    if (matchMedia("(max-width: 1020px)").matches) $("filters").open = false;
  }

  // A picture that is dropped is a question.
  const dropped = (event) => [...(event.dataTransfer?.items || [])].some((item) => item.kind === "file");
  const upload = (file) => ask("/pictures", { method: "POST", headers: { "content-type": file.type || "application/octet-stream" }, body: file });
  async function look(file) {
    toast("Reading the picture");
    try {
      const { picture } = await upload(file);
      // A page may have a use of its own for it.
      if (window.View.take) window.View.take(picture); else location.assign(`/features?picture=${picture}`);
    } catch (error) {
      toast(error.message);
    }
  }
  if (!document.body.hasAttribute("data-readonly")) {
    document.addEventListener("dragover", (event) => { if (dropped(event)) { event.preventDefault(); if ($("drop")) $("drop").hidden = false; } });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget && $("drop")) $("drop").hidden = true; });
    document.addEventListener("drop", (event) => {
      if (!dropped(event)) return;
      event.preventDefault();
      if ($("drop")) $("drop").hidden = true;
      look(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files || [])].find((one) => one.type.startsWith("image/"));
      if (file) look(file);
    });
  }

  const typing = (event) => event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === $("search")) $("search").blur();
    if (typing(event)) return;
    if (event.key === "/" && $("search")) { event.preventDefault(); $("search").focus(); $("search").select(); }
    if (event.key === "h") turn(!heated());
  });
  if ($("plain")) {
    $("plain").addEventListener("click", () => turn(false));
    $("heat").addEventListener("click", () => turn(true));
  }
  let kept = "";
  try { kept = localStorage.getItem("heat"); } catch { /* a browser may keep nothing */ }
  if (kept) turn(true);
  window.View = { ask, send, upload, toast, pictureIn, featureLink, typing };
})();
