"use strict";
// The page Picture: what is active in one picture or two, as lists and maps, by cells and by steps.
(() => {
  const $ = (id) => document.getElementById(id);
  const { make, said, heat, percent } = window.Drawing;
  const { ask, toast, featureLink, typing } = window.View;
  const { bench, file } = window.Work;
  const { brush } = window.Brush;
  if (!$("ask-one")) return;
  const doing = bench($("doing")), FIRST = 40;
  const read = { one: null, two: null }, dropped = { one: "", two: "" };
  const lit = { kind: "", key: "", step: null };
  let shown = FIRST, tool = "look", here = null, there = null, playing = 0;

  // A picture with the canvases above it: the map that is lit, and the cells that were clicked.
  function stage(slot) {
    const place = $(`stage-${slot}`), found = read[slot], image = make("img");
    Object.assign(image, { src: found.src, alt: found.prompt ? `The picture of: ${found.prompt}` : "The picture that was dropped" });
    place.style.aspectRatio = `${found.size[0]} / ${found.size[1]}`;
    place.replaceChildren(image);
    $(`figure-${slot}`).querySelector("figcaption").replaceChildren(said("span", "", found.prompt || "a picture that was dropped"), make("small", "", ` seed ${found.seed}`));
    $(`figure-${slot}`).hidden = false;
    if (slot !== "one") return;
    const grid = found.dictionaries.reduce((a, b) => (a[0] * a[1] >= b.grid[0] * b.grid[1] ? a : b.grid), [1, 1]);
    [here, there] = ["here", "there"].map((name) => {
      const canvas = make("canvas", `cells ${name}`);
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-label", `Cells ${name === "here" ? "where it fires" : "where it does not fire"}: arrow keys move, space marks`);
      place.append(canvas);
      return Object.assign(brush(canvas, grid, marked, { ink: name === "here" ? "#35e0a1" : "#ff6b5e", dims: false, toggles: true }), { grid });
    });
    choose(tool);
  }
  function choose(name) {
    tool = name;
    $("stage-one").dataset.marks = name;
    document.querySelectorAll("button[data-tool]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.tool === name)));
  }
  document.querySelectorAll("button[data-tool]").forEach((button) => button.addEventListener("click", () => choose(button.dataset.tool)));
  function marked() {
    const [a, b] = [here.count(), there.count()];
    $("no-cells").disabled = !(a + b);
    $("cells-said").textContent = a ? `${a} here, ${b ? `${b} not there` : "not in the others"}` : "";
    list();
  }
  $("no-cells").addEventListener("click", () => { here.clear(); there.clear(); marked(); });

  // A map of a feature in a picture, as drawing.js takes it. Where no step is chosen: those that its dictionary was
  // fitted on, together.
  function mapOf(found, one) {
    const dictionary = found.dictionaries[one.dictionary], cells = new Map();
    for (const [at, shares] of (lit.step === null ? dictionary.fitted : [lit.step]).map((step) => one.maps[step] || [[], []])) at.forEach((cell, i) => cells.set(cell, Math.max(cells.get(cell) || 0, shares[i])));
    return [...dictionary.grid, [...cells.keys()], [...cells.values()]];
  }
  function light() {
    for (const slot of ["one", "two"]) {
      const found = read[slot], place = $(`stage-${slot}`);
      if (!found) continue;
      place.querySelector(".lit")?.remove();
      let map = null;
      if (lit.kind === "feature") {
        const one = found.by.get(lit.key);
        map = one ? mapOf(found, one) : [1, 1, [], []];
      } else if (lit.kind === "word" && slot === lit.slot) {
        const word = found.words[Number(lit.key)];
        map = word && [...word.grid, ...word.map];
      }
      if (!map) continue;
      const canvas = heat(map);
      canvas.classList.add("lit");
      place.querySelector("img").after(canvas);
    }
    document.querySelectorAll("#actives button, #words button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.kind === lit.kind && button.dataset.key === lit.key && (button.dataset.slot || "") === (lit.slot || ""))));
  }
  function toggle(kind, key, slot) {
    const same = lit.kind === kind && lit.key === key && (lit.slot || "") === (slot || "");
    Object.assign(lit, same ? { kind: "", key: "", slot: "" } : { kind, key, slot: slot || "" });
    light();
  }

  // How strongly a feature fires in some cells: the mean over them, as a share of the most that was harvested.
  function inCells(found, one, cells, grid) {
    const [rows, cols] = found.dictionaries[one.dictionary].grid, [, , at, shares] = mapOf(found, one);
    const values = new Float32Array(rows * cols), own = new Set();
    at.forEach((cell, i) => { values[cell] = shares[i] / 255; });
    for (const cell of cells) {
      const row = Math.floor((Math.floor(cell / grid[1]) + 0.5) * rows / grid[0]), col = Math.floor((cell % grid[1] + 0.5) * cols / grid[1]);
      own.add(row * cols + col);
    }
    let sum = 0;
    own.forEach((cell) => { sum += values[cell]; });
    return own.size ? (one.strength ?? 1) * sum / own.size : 0;
  }
  // The features in the order that the page is at: strongest, fires here and not there, or differs most.
  function ordered() {
    const one = read.one, two = read.two, layer = $("layer").value, named = $("named").checked;
    const passes = (feature) => (!layer || feature.layer === layer) && (!named || feature.name);
    if (two) {
      const keys = new Set([...one.by.keys(), ...two.by.keys()]);
      const pairs = [...keys].map((key) => {
        const [a, b] = [one.by.get(key), two.by.get(key)];
        return { feature: a || b, values: [a?.strength ?? 0, b?.strength ?? 0] };
      }).filter((pair) => passes(pair.feature));
      pairs.forEach((pair) => { pair.worth = Math.abs(pair.values[0] - pair.values[1]); });
      return [pairs.sort((a, b) => b.worth - a.worth), "Sorted by how much the two pictures differ. Upper bar: the first picture; lower bar: the other. Of a picture, its 200 strongest features are compared."];
    }
    const features = one.features.filter(passes);
    if (here && here.count()) {
      const marks = here.list(), others = there.count() ? there.list() : [...Array(here.grid[0] * here.grid[1]).keys()].filter((cell) => !marks.includes(cell));
      const pairs = features.map((feature) => ({ feature, values: [inCells(one, feature, marks, here.grid), inCells(one, feature, others, here.grid)] }));
      pairs.forEach((pair) => { pair.worth = pair.values[0] - pair.values[1]; });
      return [pairs.filter((pair) => pair.worth > 0).sort((a, b) => b.worth - a.worth), `Fires here and not ${there.count() ? "there" : "in the other cells"}. Upper bar: mean here; lower bar: ${there.count() ? "there" : "elsewhere"}.`];
    }
    return [features.map((feature) => ({ feature, values: [feature.strength ?? 0] })), "Bars: the strongest activation in this picture, of the most that was harvested."];
  }
  function list() {
    const [pairs, text] = ordered(), some = pairs.slice(0, shown);
    $("order-said").textContent = some.length ? text : "No feature of this kind is active.";
    $("actives").replaceChildren(...some.map(({ feature, values }) => {
      const line = make("li"), button = make("button"), open = make("a", "", "↗"), bars = make("span", "bars-of");
      button.type = "button";
      Object.assign(button.dataset, { kind: "feature", key: feature.feature });
      button.setAttribute("aria-pressed", "false");
      button.title = feature.explanation;
      values.forEach((value) => {
        const bar = make("i");
        bar.style.width = `${100 * Math.min(value, 1)}%`;
        bars.append(bar);
      });
      button.append(said("span", feature.name ? "" : "unnamed", feature.name || "not labeled"), make("small", "", `${feature.layer} #${feature.feature.slice(feature.feature.lastIndexOf(":") + 1)}`), bars, make("small", "", values.map((value) => percent(value)).join(" / ")));
      button.addEventListener("click", () => toggle("feature", feature.feature));
      open.href = featureLink(feature.feature, "");
      open.setAttribute("aria-label", `Open ${feature.feature}`);
      line.append(button, open);
      return line;
    }));
    $("more").hidden = pairs.length <= shown;
    $("more").textContent = `Show all ${pairs.length}`;
    light();
  }
  $("more").addEventListener("click", () => { shown = Infinity; list(); });
  for (const id of ["layer", "named"]) $(id).addEventListener("change", list);

  function words() {
    const made = [];
    for (const slot of ["one", "two"]) {
      (read[slot]?.words || []).forEach((word, i) => {
        const button = said("button", "", word.word);
        button.type = "button";
        Object.assign(button.dataset, { kind: "word", key: String(i), slot });
        button.setAttribute("aria-pressed", "false");
        button.addEventListener("click", () => toggle("word", String(i), slot));
        made.push(button);
      });
      if (slot === "one" && made.length && read.two) made.push(make("br"));
    }
    $("words").replaceChildren(...made);
    if (!made.length) $("words").append(make("p", "note", read.one.note || "A picture without a prompt has no words."));
  }

  // Steps: 0 on the slider is all of them together.
  const steps = () => [...new Set(["one", "two"].flatMap((slot) => (read[slot]?.dictionaries || []).flatMap((one) => one.steps)))].sort((a, b) => a - b);
  function stepped() {
    const all = steps(), at = Number($("step").value);
    lit.step = at ? all[at - 1] : null;
    const fitted = new Set(["one", "two"].flatMap((slot) => (read[slot]?.dictionaries || []).flatMap((one) => one.fitted)));
    $("step-said").textContent = at ? `step ${lit.step}${fitted.has(lit.step) ? ", fitted on" : ""}` : "fitted steps";
    if (here && here.count() && !read.two) list(); else light();
  }
  $("step").addEventListener("input", stepped);
  function play() {
    if (playing) { clearInterval(playing); playing = 0; } else {
      if (!lit.kind && read.one.features.length) toggle("feature", $("actives").querySelector("button").dataset.key);
      playing = setInterval(() => {
        const most = Number($("step").max), next = Number($("step").value) + 1;
        $("step").value = next > most ? 1 : next;
        stepped();
      }, 700);
    }
    $("play").textContent = playing ? "❚❚" : "▶";
    $("play").setAttribute("aria-label", playing ? "Stop playing" : "Play the steps");
  }
  $("play").addEventListener("click", play);

  function link() {
    const query = new URLSearchParams();
    for (const [slot, tail] of [["one", ""], ["two", "2"]]) {
      if (!read[slot]) continue;
      if (read[slot].picture) query.set(`picture${tail}`, read[slot].picture); else query.set(`prompt${tail}`, read[slot].prompt);
      query.set(`seed${tail}`, read[slot].seed);
    }
    // A page in a frame of another one is loaded again as such.
    if (document.documentElement.classList.contains("embed")) query.set("embed", "");
    history.replaceState(null, "", `/picture?${query}`);
  }
  async function look(slot) {
    const prompt = dropped[slot] ? "" : $(`prompt-${slot}`).value.trim();
    try {
      const done = await doing.run("/api/reading", { prompt, picture: dropped[slot], seed: Number($(`seed-${slot}`).value) });
      if (!done) return false;
      const found = await ask(file(done, "reading.json"));
      read[slot] = { ...found, prompt, picture: dropped[slot], src: file(done, "picture.webp"), by: new Map(found.features.map((one) => [one.feature, one])) };
    } catch (error) {
      toast(error.message);
      return false;
    }
    // Where there are names, what has none is left out at first.
    if ($("looked").hidden) $("named").checked = read[slot].features.filter((one) => one.name).length >= 10;
    $("looked").hidden = false;
    $("looked").classList.toggle("both", Boolean(read.two));
    const layers = [...new Set(["one", "two"].flatMap((one) => (read[one]?.dictionaries || []).map((dictionary) => dictionary.layer)))], chosen = $("layer").value;
    $("layer").replaceChildren(new Option("all", ""), ...layers.map((layer) => new Option(layer, layer, false, layer === chosen)));
    stage(slot);
    $("step").max = steps().length;
    $("step").value = 0;
    if (read.two) choose("look");
    document.querySelectorAll('[data-tool="here"], [data-tool="there"]').forEach((button) => { button.disabled = Boolean(read.two); });
    words();
    stepped();
    list();
    link();
    return true;
  }
  async function take(picture, slot) {
    dropped[slot] = picture;
    $(`prompt-${slot}`).value = "";
    $(`prompt-${slot}`).placeholder = "the picture that you dropped";
    if (slot === "two") $("beside").open = true;
    await look(slot);
  }
  for (const slot of ["one", "two"]) {
    $(`ask-${slot}`).addEventListener("submit", (event) => {
      event.preventDefault();
      if (slot === "two" && !read.one) { toast("Read the first picture before"); return; }
      if (!dropped[slot] && !$(`prompt-${slot}`).value.trim()) { $(`prompt-${slot}`).focus(); return; }
      look(slot);
    });
    $(`prompt-${slot}`).addEventListener("input", () => { dropped[slot] = ""; });
    $(`file-${slot}`).addEventListener("change", async (event) => {
      const [given] = event.target.files;
      if (!given) return;
      try { take((await window.View.upload(given)).picture, slot); } catch (error) { toast(error.message); }
      event.target.value = "";
    });
  }
  // A picture that is dropped on this page is read; where the comparison is open, it is the other one.
  window.View.take = (picture) => take(picture, $("beside").open && read.one ? "two" : "one");
  $("actives").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key], buttons = [...$("actives").querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    if (!by || at < 0 || !buttons[at + by]) return;
    event.preventDefault();
    buttons[at + by].focus();
    if (lit.key !== buttons[at + by].dataset.key) buttons[at + by].click();
  });
  document.addEventListener("keydown", (event) => {
    if (typing(event)) return;
    if (event.key === "Escape") doing.stop();
    if (event.key === "s" && read.one) play();
  });

  async function begin() {
    const query = new URLSearchParams(location.search);
    for (const [slot, tail] of [["one", ""], ["two", "2"]]) {
      if (query.get(`seed${tail}`)) $(`seed-${slot}`).value = query.get(`seed${tail}`);
      if (query.get(`prompt${tail}`)) $(`prompt-${slot}`).value = query.get(`prompt${tail}`);
      dropped[slot] = query.get(`picture${tail}`) || "";
      if (dropped[slot]) $(`prompt-${slot}`).value = "";
      if (dropped[slot] || query.get(`prompt${tail}`)) {
        if (tail) $("beside").open = true;
        if (!await look(slot)) return;
      }
    }
    if (!read.one) window.View.send("/api/paint/warm", {}).catch(() => {});
  }
  begin();
})();
