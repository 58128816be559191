"use strict";
// The page Steer: features with strengths, cells that are brushed, steps, and the pictures before and after.
(() => {
  const $ = (id) => document.getElementById(id);
  const { make, said } = window.Drawing;
  const { ask, toast, featureLink, typing } = window.View;
  const { bench, file } = window.Work;
  const { choosing, named } = window.Choosing;
  const { brush, toHex, fromHex } = window.Brush;
  const form = $("steer");
  if (!form) return;
  const known = JSON.parse($("known").textContent), [rows, cols] = known.grid;
  const doing = bench($("doing")), features = [];
  const ROW = [-8, -4, -2, 2, 4, 8, 16], MOST = 12;

  // Features.
  function draw() {
    $("features").replaceChildren(...features.map((one, i) => {
      const line = make("div", "steered"), range = make("input"), number = make("input"), off = make("input"), remove = make("button", "", "×");
      const link = said("a", "", one.name || "not labeled"), gone = make("label", "gone"), what = one.name || one.feature;
      link.href = featureLink(one.feature, "");
      Object.assign(range, { type: "range", min: -MOST, max: MOST, step: 0.5, value: one.strength });
      Object.assign(number, { type: "number", min: -100, max: 100, step: "any", value: one.strength });
      Object.assign(off, { type: "checkbox", checked: one.off });
      Object.assign(remove, { type: "button", title: "Leave it out" });
      remove.setAttribute("aria-label", `Leave out ${what}`);
      range.setAttribute("aria-label", `Strength of ${what}`);
      number.setAttribute("aria-label", `Strength of ${what} as a number`);
      range.disabled = number.disabled = one.off;
      range.addEventListener("input", () => { one.strength = Number(range.value); number.value = range.value; link_(); });
      number.addEventListener("input", () => { one.strength = Number(number.value) || 0; range.value = number.value; link_(); });
      off.addEventListener("change", () => { one.off = off.checked; draw(); });
      remove.addEventListener("click", () => { features.splice(i, 1); draw(); $("find").focus(); });
      gone.append(off, " take it away");
      const head = make("div", "steered-head"), under = make("div", "steered-foot"), choose = make("button", "choose-it", "Choose it");
      Object.assign(choose, { type: "button", disabled: one.off, title: "Paint with the smallest strength that brings the feature into the picture" });
      choose.setAttribute("aria-label", `Choose the strength of ${what}`);
      choose.addEventListener("click", () => { one.auto = true; paint(); });
      head.append(link, remove);
      under.append(make("small", "mono", one.feature), choose, gone);
      line.append(head, range, number, under);
      return line;
    }));
    $("row").disabled = !features.length;
    link_();
  }
  function add(one, strength, off, auto) {
    if (features.length >= 8) { toast("Eight features at a time"); return; }
    if (!features.some((other) => other.feature === one.feature)) features.push({ feature: one.feature, name: one.name, strength: strength ?? 4, off: Boolean(off), auto: Boolean(auto) });
    draw();
  }
  choosing($("find"), $("found"), (one) => add(one));
  // Cells of another picture are a change too; without features it is the only one.
  const others = () => ($("like")?.value.trim() ? [{ like: $("like").value.trim(), layer: $("like-layer").value }] : []);
  const changes = () => [...features.map((one) => [one.feature, one.off ? null : one.auto ? "auto" : one.strength]), ...others()];

  // Steps: two ranges on one line.
  function steps(moved) {
    let [from, to] = [Number($("from").value), Number($("to").value)];
    if (moved === "to") { to = Math.max(to, 1); from = Math.min(from, to - 1); } else { from = Math.min(from, known.steps - 1); to = Math.max(to, from + 1); }
    [$("from").value, $("to").value] = [from, to];
    $("span").style.setProperty("--from", `${100 * from / known.steps}%`);
    $("span").style.setProperty("--to", `${100 * to / known.steps}%`);
    $("steps-said").textContent = from === 0 && to === known.steps ? `all ${known.steps}` : `${from} to ${to - 1} of 0 to ${known.steps - 1}`;
    link_();
    return [from, to];
  }
  for (const id of ["from", "to"]) $(id).addEventListener("input", () => steps(id));

  // The stage: the picture before, the one after above it, and the cells above both.
  const stage = $("stage"), before = make("img"), after = make("img"), canvas = make("canvas"), swipe = make("input"), line = make("i");
  const tags = [make("span", "tag left", "before"), make("span", "tag right", "after")];
  before.alt = "The picture before";
  after.alt = "The picture after";
  after.className = "after";
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", "Cells to change: arrow keys move, space brushes");
  Object.assign(swipe, { type: "range", min: 0, max: 100, value: 50, className: "swipe" });
  swipe.setAttribute("aria-label", "Swipe between before and after");
  stage.style.aspectRatio = `${known.size[0]} / ${known.size[1]}`;
  const cells = brush(canvas, known.grid, told);
  function swiped() {
    after.style.clipPath = `inset(0 0 0 ${swipe.value}%)`;
    line.style.left = `${swipe.value}%`;
  }
  swipe.addEventListener("input", swiped);
  function told() {
    const count = cells.count();
    $("cells-said").textContent = count ? `${count} of ${rows * cols} cells are changed` : "all cells are changed";
    $("all-cells").disabled = !count;
    link_();
  }
  $("all-cells").addEventListener("click", () => { cells.clear(); told(); });
  $("width").addEventListener("input", () => { cells.state.width = Number($("width").value); });
  function tool(name) {
    document.querySelectorAll("button[data-tool]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.tool === name)));
    stage.dataset.tool = name;
    if (name !== "swipe") cells.state.tool = name;
  }
  document.querySelectorAll("button[data-tool]").forEach((button) => button.addEventListener("click", () => tool(button.dataset.tool)));
  function show(sources) {
    before.src = sources[0];
    after.src = sources[sources.length - 1];
    const both = sources.length > 1;
    after.hidden = swipe.hidden = line.hidden = !both;
    tags.forEach((tag) => { tag.hidden = !both; });
    if (!stage.contains(before)) stage.replaceChildren(before, after, line, ...tags, canvas, swipe);
    $("tools").hidden = false;
    if (!both && stage.dataset.tool === "swipe") tool("brush");
    if (both && !stage.dataset.touched) { stage.dataset.touched = "1"; tool("swipe"); }
    swiped();
  }
  tool("swipe");

  // What is asked, and the address that leads back to it.
  function request(pictures) {
    const [from, to] = [Number($("from").value), Number($("to").value)];
    return {
      prompt: $("prompt").value.trim(),
      seed: Number($("seed").value),
      pictures,
      steps: from === 0 && to === known.steps ? null : [from, to],
      mask: cells.count() ? { rows, cols, cells: cells.text() } : null,
    };
  }
  function address() {
    const query = new URLSearchParams({ prompt: $("prompt").value.trim(), seed: $("seed").value }), { steps: some } = request([]);
    features.forEach((one) => query.append("with", `${one.feature}=${one.off ? "off" : one.strength}`));
    for (const one of others()) { query.set("like", one.like); query.set("at", one.layer); }
    if (some) query.set("steps", some.join(":"));
    if (cells.count()) query.set("cells", `${rows}x${cols}.${toHex(cells.text())}`);
    return `/steer?${query}`;
  }
  function link_() { $("link").href = address(); }
  for (const id of ["prompt", "seed", "like", "like-layer"]) $(id)?.addEventListener("input", link_);

  // History of this tab.
  const kept = () => { try { return JSON.parse(sessionStorage.getItem("steered") || "[]"); } catch { return []; } };
  function remember(one) {
    const list = [one, ...kept().filter((other) => other.link !== one.link)].slice(0, 24);
    try { sessionStorage.setItem("steered", JSON.stringify(list)); } catch { /* a browser may keep nothing */ }
    past(list);
  }
  function past(list) {
    if (!list.length) return;
    $("history").replaceChildren(...list.map((one) => {
      const link = make("a"), image = make("img");
      link.href = one.link;
      link.title = one.text;
      Object.assign(image, { src: one.src, alt: "", loading: "lazy" });
      image.addEventListener("error", () => image.replaceWith(make("span", "blank")));
      link.append(image, said("small", "", one.text));
      return link;
    }));
  }
  const inWords = () => [...features.map((one) => `${one.name || one.feature} ${one.off ? "off" : one.strength > 0 ? `+${one.strength}` : one.strength}`), ...others().map((one) => `cells of: ${one.like}`)].join(", ") || "no change";

  // A page in a frame of another one is loaded again as such.
  const isEmbedded = document.documentElement.classList.contains("embed");

  async function paint() {
    if (!form.reportValidity()) return;
    if (!$("lock").checked) $("seed").value = Math.floor(Math.random() * 2 ** 32);
    const all = changes(), pictures = all.length ? [[], all] : [[]], chosen = features.filter((one) => one.auto && !one.off);
    let here = address();
    features.forEach((one) => { one.auto = false; });
    try {
      const done = await doing.run("/api/paint", request(pictures));
      if (!done) return;
      chosen.forEach((one) => { one.strength = done.value.strengths[one.feature] ?? one.strength; });
      if (chosen.length) { draw(); here = address(); toast(chosen.map((one) => `Strength ${one.strength} is the smallest that brings ${one.name || one.feature} into the picture`).join(". ")); }
      const sources = pictures.map((_, i) => file(done, `${i}.webp`));
      show(sources);
      history.replaceState(null, "", isEmbedded ? `${here}&embed` : here);
      link_();
      remember({ link: here, src: sources[sources.length - 1], text: inWords() });
    } catch (error) {
      toast(error.message);
    }
  }
  async function row() {
    if (!features.length || !form.reportValidity()) return;
    const [first, ...rest] = changes(), pictures = ROW.map((strength) => [[first[0], strength], ...rest]);
    try {
      const done = await doing.run("/api/paint", request([[], ...pictures]));
      if (!done) return;
      $("row-of").replaceChildren(...[0, ...ROW].map((strength, i) => {
        const button = make("button"), image = make("img"), source = file(done, `${i}.webp`);
        button.type = "button";
        Object.assign(image, { src: source, alt: "" });
        button.append(image, make("small", "", i ? `${strength > 0 ? "+" : ""}${strength}` : "before"));
        button.title = i ? "Take this strength" : "The picture before";
        button.addEventListener("click", () => {
          if (i) Object.assign(features[0], { strength, off: false });
          draw();
          show(i ? [file(done, "0.webp"), source] : [source]);
        });
        return button;
      }));
    } catch (error) {
      toast(error.message);
    }
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); paint(); });
  $("row").addEventListener("click", row);
  document.addEventListener("keydown", (event) => {
    if (typing(event)) return;
    if (event.key === "p") paint();
    if (event.key === "Escape") doing.stop();
  });

  // What the address says.
  async function read() {
    const query = new URLSearchParams(location.search);
    if (query.has("prompt")) $("prompt").value = query.get("prompt");
    if (query.get("seed")) $("seed").value = query.get("seed");
    const [from, to] = (query.get("steps") || "").split(":");
    if (to) { $("from").value = from; $("to").value = to; }
    const found = /^(\d+)x(\d+)\.([0-9a-f]+)$/.exec(query.get("cells") || "");
    if (found && Number(found[1]) === rows && Number(found[2]) === cols) { cells.set(fromHex(found[3], rows * cols)); told(); }
    for (const one of query.getAll("with").slice(0, 8)) {
      const cut = /=(-?[\d.]+|off|auto)$/.exec(one), feature = cut ? one.slice(0, cut.index) : one;
      try {
        add(await ask(named(feature)), cut && Number.isFinite(Number(cut[1])) ? Number(cut[1]) : undefined, cut && cut[1] === "off", cut && cut[1] === "auto");
      } catch (error) {
        toast(error.message);
      }
    }
    steps();
    draw();
    if (query.get("like") && $("like")) { $("like").value = query.get("like"); if (known.layers.includes(query.get("at"))) $("like-layer").value = query.get("at"); }
    if (query.has("prompt") || changes().length) await paint();
    else window.View.send("/api/paint/warm", {}).catch(() => {});
  }
  past(kept());
  read();
})();
