"use strict";
// Whatever a label says becomes text: nothing here writes markup. Details come in files of a few features each, as
// scripts, since a page from a file system may not fetch.
(() => {
  const $ = (id) => document.getElementById(id);
  const about = JSON.parse($("about").textContent);
  const pictures = window.GALLERY_PICTURES;
  const METHODS = ["gain", "detection", "embedding"];
  const features = window.GALLERY_FEATURES.map(([d, index, name, text, status, state, score, density, peak, labeler, method], at) => ({
    at, d, index, name, text, status, state, score, density, peak, labeler, method,
    // Scores of different methods are never ranked together: the more telling method comes first.
    rank: score === null ? METHODS.length : METHODS.indexOf(method),
    id: `${about.dictionaries[d].name}:${index}`,
    said: `${name} ${text}`.toLowerCase(), named: name.toLowerCase(),
  }));
  const byId = new Map(features.map((feature) => [feature.id, feature]));
  const STEP = 48;
  const { make, percent, figure, short, nameOf, section } = window.Drawing;
  const pictureOf = (number) => ({ src: `pictures/${number}.webp`, size: pictures[number].slice(0, 2), prompt: pictures[number][2] });

  const foremost = features.reduce((least, feature) => Math.min(least, feature.rank), METHODS.length);

  // Details, a file for each few features.
  const parts = new Map();
  window.galleryPart = (name, found) => parts.get(name).keep(found);
  function details(feature) {
    const name = `${feature.d}-${Math.floor(about.dictionaries[feature.d].order[feature.index] / about.part)}`;
    if (!parts.has(name)) {
      const part = {};
      part.found = new Promise((keep) => { part.keep = keep; });
      parts.set(name, part);
      document.head.append(Object.assign(make("script"), { src: `data/${name}.js` }));
    }
    return parts.get(name).found.then((found) => found[feature.index]);
  }

  // Cards.
  let shown = [], drawn = 0;
  const filling = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    filling.unobserve(entry.target);
    details(features[Number(entry.target.dataset.at)]).then((found) => {
      const firing = found.crops.filter((crop) => crop[2] !== "negative").slice(0, 6);
      entry.target.fill(firing.map((crop) => window.Drawing.cut(pictureOf(crop[0]), crop[1], crop[6])));
    });
  }), { rootMargin: "400px" });

  function card(feature) {
    const made = window.Drawing.card("button", feature, about.dictionaries.length > 1 ? feature.id : `#${feature.index}`);
    made.type = "button";
    made.dataset.at = feature.at;
    made.addEventListener("click", () => open(feature));
    filling.observe(made);
    return made;
  }
  function draw() {
    const next = shown.slice(drawn, drawn + STEP);
    $("cards").append(...next.map(card));
    drawn += next.length;
  }
  new IntersectionObserver((entries) => { if (entries[0].isIntersecting && drawn < shown.length) draw(); }, { rootMargin: "900px" }).observe($("more"));

  // Filters.
  const ticked = { layers: null, statuses: null, states: null };
  const words = { ok: "named", uninterpretable: "uninterpretable", unlabeled: "not labeled" };
  const kinds = {
    layers: (feature) => about.dictionaries[feature.d].shown,
    statuses: (feature) => words[feature.status] || feature.status,
    states: (feature) => feature.state,
  };
  function ticks(name) {
    const counts = new Map();
    features.forEach((feature) => counts.set(kinds[name](feature), (counts.get(kinds[name](feature)) || 0) + 1));
    ticked[name] = new Set(counts.keys());
    for (const [value, count] of counts) {
      const label = make("label", "tick"), box = Object.assign(make("input"), { type: "checkbox", checked: true, value });
      box.addEventListener("change", () => { box.checked ? ticked[name].add(value) : ticked[name].delete(value); apply(); });
      label.append(box, make("bdi", "", value), make("span", "", count));
      $(name).append(label);
    }
    if (counts.size < 2 && name === "layers") $(name).hidden = true;
  }
  const firing = features.map((feature) => feature.density).filter((density) => density > 0);
  const least = Math.log(firing.reduce((a, b) => Math.min(a, b), 1)), most = Math.log(firing.reduce((a, b) => Math.max(a, b), 1e-6));
  const density = (slider) => Math.exp(least + (most - least) * slider.value / 100);
  const orders = {
    best: (a, b) => b.match - a.match || a.rank - b.rank || (b.score ?? -1) - (a.score ?? -1) || a.at - b.at,
    score: (a, b) => a.rank - b.rank || (b.score ?? -1) - (a.score ?? -1) || a.at - b.at,
    dense: (a, b) => b.density - a.density || a.at - b.at,
    rare: (a, b) => a.density - b.density || a.at - b.at,
    strong: (a, b) => b.peak - a.peak || a.at - b.at,
    name: (a, b) => (!a.name - !b.name) || a.name.localeCompare(b.name) || a.at - b.at,
    index: (a, b) => a.at - b.at,
  };
  function apply() {
    const asked = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const floor = Number($("score").value), low = Number($("sparse").value), high = Number($("dense").value);
    $("score-said").value = floor ? `${floor.toFixed(2)} ${METHODS[foremost] ?? ""}` : "any";
    $("sparse-said").value = low ? percent(density($("sparse"))) : "any";
    $("dense-said").value = high < 100 ? percent(density($("dense"))) : "any";
    const [from, to] = [low ? density($("sparse")) * 0.999 : 0, high < 100 ? density($("dense")) * 1.001 : 1];
    shown = features.filter((feature) => {
      // Words of the name first, and the whole name before all.
      feature.match = !asked.length ? 0 : feature.id.toLowerCase() === asked.join(" ") ? 4
        : !asked.every((word) => feature.said.includes(word)) ? -1
        : feature.named === asked.join(" ") ? 3 : !asked.every((word) => feature.named.includes(word)) ? 1
        // Whole words before parts of words: "red" is no part of "checkered".
        : asked.every((word) => feature.named.split(/[^\p{L}\p{N}]+/u).includes(word)) ? 2 : 1.5;
      return feature.match >= 0 && (!floor || (feature.rank === foremost && feature.score >= floor))
        && feature.density >= from && feature.density <= to
        && Object.keys(kinds).every((name) => ticked[name].has(kinds[name](feature)));
    }).sort(orders[$("sort").value]);
    drawn = 0;
    filling.disconnect();
    $("cards").replaceChildren();
    $("count").replaceChildren(make("b", "", shown.length.toLocaleString("en")), ` of ${features.length.toLocaleString("en")} features`);
    $("none").hidden = shown.length > 0;
    draw();
  }
  function reset() {
    $("search").value = "";
    [["score", 0], ["sparse", 0], ["dense", 100]].forEach(([id, value]) => { $(id).value = value; });
    document.querySelectorAll(".tick input").forEach((box) => {
      box.checked = true;
      ticked[box.closest("fieldset").id].add(box.value);
    });
    apply();
  }

  // One feature.
  let current = null;
  function open(feature) {
    current = feature;
    const hash = `#${encodeURIComponent(feature.id)}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    const at = shown.indexOf(feature);
    $("previous").disabled = at <= 0;
    $("next").disabled = at < 0 || at + 1 >= shown.length;
    $("feature-id").textContent = feature.id;
    $("body").replaceChildren(heading(feature));
    $("body").scrollTop = 0;
    if (!$("feature").open) $("feature").showModal();
    details(feature).then((found) => { if (current === feature) $("body").append(columns(feature, found)); });
  }
  function go(by) {
    const feature = shown[shown.indexOf(current) + by];
    if (feature && shown.includes(current)) open(feature);
  }
  function heading(feature) {
    const made = make("div", "head"), name = window.Drawing.said("h2", feature.name ? "" : "unnamed", nameOf(feature));
    name.id = "feature-name";
    const chips = make("div", "chips"), dictionary = about.dictionaries[feature.d];
    for (const [key, value] of [
      ["layer", dictionary.layer], ["state", feature.state], ["fires in", `${percent(feature.density)} of ${dictionary.cells}`],
      ["strongest", short(feature.peak)], ["labeler", feature.labeler],
    ]) {
      if (!value) continue;
      const chip = make("span", "chip", `${key} `);
      chip.append(make("b", "", value));
      chips.append(chip);
    }
    made.append(name, window.Drawing.said("p", "", feature.text), chips);
    return made;
  }
  function columns(feature, found) {
    const made = make("div", "columns"), left = make("div"), right = make("div"), whole = make("div", "whole");
    left.append(...window.Drawing.places(found.crops, pictureOf, whole));
    right.append(whole);
    if (found.scores.length) right.append(section("Scores", "on held-out images, with 95% intervals", window.Drawing.scores(found.scores)));
    if (found.histogram.length > 1) right.append(section("Activations", dictionaryCells(feature), ...window.Drawing.histogram(found.histogram)));
    if (found.steps.length > 1) right.append(section("By denoising step", "share of its activation", ...window.Drawing.steps(found.steps)));
    const near = found.neighbours.filter(([index]) => byId.has(`${about.dictionaries[feature.d].name}:${index}`));
    if (near.length) right.append(section("Fires with", "Jaccard index of their cells", neighbours(feature, near)));
    made.append(left, right);
    return made;
  }
  const dictionaryCells = (feature) => `${about.dictionaries[feature.d].cells} by how strongly it fires`;
  function neighbours(feature, near) {
    const made = make("div", "near");
    for (const [index, share] of near) {
      const other = byId.get(`${about.dictionaries[feature.d].name}:${index}`), button = make("button");
      button.type = "button";
      button.append(Object.assign(make("bdi", "", nameOf(other)), { dir: "auto" }), make("span", "", `#${index}  ${figure(share)}`));
      button.addEventListener("click", () => open(other));
      made.append(button);
    }
    return made;
  }
  function shut() {
    current = null;
    history.replaceState(null, "", location.pathname + location.search);
  }

  Object.keys(kinds).forEach(ticks);
  if (!firing.length) document.querySelectorAll("#sparse, #dense").forEach((slider) => { slider.disabled = true; });
  let waiting = 0;
  $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(apply, 80); });
  $("search").addEventListener("change", () => { clearTimeout(waiting); apply(); });
  ["score", "sparse", "dense", "sort"].forEach((id) => $(id).addEventListener("input", apply));
  $("reset").addEventListener("click", reset);
  $("plain").addEventListener("click", () => turn(false));
  $("heat").addEventListener("click", () => turn(true));
  function turn(on) {
    document.body.classList.toggle("heated", on);
    $("heat").setAttribute("aria-pressed", String(on));
    $("plain").setAttribute("aria-pressed", String(!on));
  }
  $("previous").addEventListener("click", () => go(-1));
  $("next").addEventListener("click", () => go(1));
  $("close").addEventListener("click", () => $("feature").close());
  $("feature").addEventListener("close", shut);
  $("feature").addEventListener("click", (event) => { if (event.target === $("feature")) $("feature").close(); });
  document.addEventListener("keydown", (event) => {
    if ($("feature").open) {
      if (event.key === "ArrowLeft") go(-1);
      if (event.key === "ArrowRight") go(1);
    } else if (event.key === "/" && document.activeElement !== $("search")) {
      event.preventDefault();
      $("search").focus();
    }
  });
  function follow() {
    let id = "";
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    if (byId.has(id)) open(byId.get(id));
  }
  window.addEventListener("hashchange", follow);
  if (matchMedia("(max-width: 1020px)").matches) $("filters").open = false;
  apply();
  follow();
})();
