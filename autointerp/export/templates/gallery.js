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

  function make(kind, className, text) {
    const made = document.createElement(kind);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }
  // Text of labelers, isolated: a mark of direction in it turns nothing around it.
  function said(kind, className, text) {
    const made = make(kind, className);
    made.append(Object.assign(make("bdi", "", text), { dir: "auto" }));
    return made;
  }
  const percent = (share) => share === 0 ? "0%" : share < 0.0001 ? "<0.01%" : `${(100 * share).toPrecision(share < 0.1 ? 2 : 3)}%`;
  const figure = (value) => value === null ? "–" : value.toFixed(2);
  const foremost = features.reduce((least, feature) => Math.min(least, feature.rank), METHODS.length);
  // The score's distance from chance, of the whole distance: chance is 0 for gain, and 0.5 for the others.
  const level = ({ score, method }) => {
    const worth = method === "gain" ? score : 2 * score - 1;
    return score === null ? "" : worth >= 0.6 ? "good" : worth >= 0.3 ? "fair" : "poor";
  };
  const short = (value) => Number(value.toPrecision(3)).toString();

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

  // A picture, cut to a box by style alone, with its heat above it. A crop is [picture, box, role, activation, step, cell, map].
  function cut(crop, box) {
    const [number, , , , , , map] = crop;
    const [width, height] = pictures[number];
    const [left, top, right, bottom] = box || [0, 0, width, height];
    const frame = make("span", "cut");
    frame.style.aspectRatio = `${right - left} / ${bottom - top}`;
    const place = (element) => {
      element.style.width = `${100 * width / (right - left)}%`;
      element.style.height = `${100 * height / (bottom - top)}%`;
      element.style.left = `${-100 * left / (right - left)}%`;
      element.style.top = `${-100 * top / (bottom - top)}%`;
      frame.append(element);
    };
    place(Object.assign(make("img"), { src: `pictures/${number}.webp`, alt: "", loading: "lazy", decoding: "async" }));
    if (map) place(heat(map));
    return frame;
  }
  // Dark where the feature is silent, from red to yellow where it fires; opacity as the root of the activation.
  function heat([rows, cols, cells, values]) {
    const canvas = Object.assign(make("canvas"), { width: cols, height: rows });
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(cols, rows);
    for (let i = 0; i < rows * cols; i += 1) pixels.data.set([12, 12, 28, 105], 4 * i);
    cells.forEach((cell, i) => {
      const share = Math.sqrt(values[i] / 255);
      pixels.data.set([255, Math.round(40 + 180 * share * share), 30, Math.round(70 + 110 * share)], 4 * cell);
    });
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  // Cards.
  let shown = [], drawn = 0;
  const filling = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    filling.unobserve(entry.target);
    const feature = features[Number(entry.target.dataset.at)], tiles = entry.target.querySelector(".tiles");
    details(feature).then((found) => {
      tiles.replaceChildren(...found.crops.filter((crop) => crop[2] !== "negative").slice(0, 6).map((crop) => cut(crop, crop[1])));
    });
  }), { rootMargin: "400px" });

  const nameOf = (feature) => feature.name || (feature.status === "uninterpretable" ? "uninterpretable" : "not labeled");
  function card(feature) {
    const made = make("button", "card");
    made.type = "button";
    made.dataset.at = feature.at;
    const id = make("div", "id"), score = make("span", level(feature));
    if (feature.score !== null) {
      const meter = make("span", "meter"), bar = make("i");
      bar.style.width = `${100 * Math.max(feature.score, 0)}%`;
      score.title = feature.method;
      meter.append(bar);
      score.append(meter, figure(feature.score));
    }
    id.append(make("span", "", about.dictionaries.length > 1 ? feature.id : `#${feature.index}`), score);
    const tiles = make("div", "tiles");
    if (feature.state !== "dead") tiles.append(...Array.from({ length: 3 }, () => make("div", "blank")));
    made.append(said("h3", feature.name ? "" : "unnamed", nameOf(feature)), id, tiles, said("p", "", feature.text));
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
    const made = make("div", "head"), name = said("h2", feature.name ? "" : "unnamed", nameOf(feature));
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
    made.append(name, said("p", "", feature.text), chips);
    return made;
  }
  function section(title, small, ...children) {
    const made = make("section"), head = make("h3", "", `${title} `);
    if (small) head.append(make("small", "", small));
    made.append(head, ...children);
    return made;
  }
  function columns(feature, found) {
    const made = make("div", "columns"), left = make("div"), right = make("div"), whole = make("div", "whole");
    const roles = [
      ["top", "Strongest", "where it fires most"], ["quantile", "Over its range", "strong to weak"],
      ["negative", "Silent", "images in which it does not fire"],
    ];
    const buttons = [];
    for (const [role, title, small] of roles) {
      const crops = found.crops.filter((crop) => crop[2] === role);
      if (!crops.length) continue;
      const tiles = make("div", "tiles large");
      for (const crop of crops) {
        const button = make("button");
        button.type = "button";
        button.title = pictures[crop[0]][2];
        button.setAttribute("aria-pressed", "false");
        button.append(cut(crop, crop[1]), make("small", "", role === "negative" ? "silent" : short(crop[3])));
        button.addEventListener("click", () => pick(button, crop));
        buttons.push([button, crop]);
        tiles.append(button);
      }
      left.append(section(title, small, tiles));
    }
    function pick(button, crop) {
      buttons.forEach(([other]) => other.setAttribute("aria-pressed", String(other === button)));
      const [number, , , activation, step, cell] = crop, frame = cut(crop, null);
      const where = crop[2] === "negative" ? "silent here" : `activation ${short(activation)} at step ${step}, ${cell}`;
      frame.title = "Click to show or hide where it fires";
      frame.addEventListener("click", () => frame.classList.toggle("plain"));
      const place = make("small", "", where);
      whole.replaceChildren(frame, said("p", "", pictures[number][2]), place);
    }
    if (buttons.length) pick(...buttons[0]);
    right.append(whole);
    if (found.scores.length) right.append(section("Scores", "on held-out images, with 95% intervals", scores(found.scores)));
    if (found.histogram.length > 1) right.append(section("Activations", dictionaryCells(feature), ...histogram(found.histogram)));
    if (found.steps.length > 1) right.append(section("By denoising step", "share of its activation", ...steps(found.steps)));
    const near = found.neighbours.filter(([index]) => byId.has(`${about.dictionaries[feature.d].name}:${index}`));
    if (near.length) right.append(section("Fires with", "Jaccard index of their cells", neighbours(feature, near)));
    made.append(left, right);
    return made;
  }
  const dictionaryCells = (feature) => `${about.dictionaries[feature.d].cells} by how strongly it fires`;
  const place = (value) => 100 * Math.max(value, 0);
  function scores(given) {
    const table = make("table");
    for (const [method, value, low, high] of given) {
      const row = make("tr", level({ score: value, method })), line = make("span", "interval");
      if (value !== null) {
        const dot = make("b");
        dot.style.left = `${place(value)}%`;
        if (low !== null && high !== null) {
          const span = make("i");
          span.style.left = `${place(low)}%`;
          span.style.width = `${place(high) - place(low)}%`;
          span.title = `${figure(low)} to ${figure(high)}`;
          line.append(span);
        }
        line.append(dot);
      }
      const middle = make("td");
      middle.append(line);
      row.append(make("td", "", method), middle, make("td", "", figure(value)));
      table.append(row);
    }
    const all = make("div");
    all.append(table, make("p", "note", "The line in the middle is 0.5, chance for most methods."));
    return all;
  }
  function bars(heights) {
    const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
    const most = heights.reduce((a, b) => Math.max(a, b), 0), width = 100 / heights.length;
    svg.setAttribute("class", "bars");
    svg.setAttribute("viewBox", "0 0 100 40");
    svg.setAttribute("preserveAspectRatio", "none");
    heights.forEach((height, i) => {
      const bar = document.createElementNS(space, "rect"), tall = height ? Math.max(40 * height / most, 0.6) : 0;
      const sizes = { x: i * width + width * 0.06, y: 40 - tall, width: width * 0.88, height: tall };
      Object.entries(sizes).forEach(([key, value]) => bar.setAttribute(key, value));
      svg.append(bar);
    });
    return svg;
  }
  function scale(...texts) {
    const made = make("div", "scale");
    made.append(...texts.map((text) => make("span", "", text)));
    return made;
  }
  const histogram = (levels) => [bars(levels.map(([, cells]) => cells)), scale(short(levels[0][0]), `most: ${Math.max(...levels.map(([, cells]) => cells)).toLocaleString("en")}`, `${short(levels[levels.length - 1][0])} and up`)];
  const steps = (shares) => [bars(shares.map(([, share]) => share)), scale(...shares.map(([step]) => step))];
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
