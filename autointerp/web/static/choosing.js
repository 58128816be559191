"use strict";
// Choosing a feature: a field that lists the features that fit what is typed, by mouse and by keyboard.
(() => {
  const { make, said } = window.Drawing;
  const { ask } = window.View;
  const named = (feature) => `/api/steered/${encodeURIComponent(feature).replaceAll("%3A", ":")}`;
  async function fitting(text) {
    if (!text) return (await ask("/api/features?sort=score&status=ok&names=1&limit=8")).features;
    if (/:\d+$/.test(text)) return [await ask(named(text))];
    return ask(`/api/search?route=words&limit=8&q=${encodeURIComponent(text)}`);
  }
  // `take` gets a feature {feature, name} that was picked.
  function choosing(field, list, take) {
    let at = -1, asked = 0, timer = 0, shown = null;
    const text = () => field.value.trim(), lines = () => [...list.children].filter((one) => one.pick);
    const shut = () => { list.hidden = true; field.setAttribute("aria-expanded", "false"); field.removeAttribute("aria-activedescendant"); at = -1; };
    function pick(one) { field.value = ""; shut(); take(one); }
    function show(found, of) {
      at = -1;
      shown = of;
      list.replaceChildren(...found.map((one, i) => {
        const line = make("li");
        line.id = `${list.id}-${i}`;
        line.setAttribute("role", "option");
        line.setAttribute("aria-selected", "false");
        line.append(said("span", "", one.name || "not labeled"), make("small", "", one.feature));
        line.addEventListener("mousedown", (event) => { event.preventDefault(); pick(one); });
        line.pick = () => pick(one);
        return line;
      }));
      if (!found.length) list.append(Object.assign(make("li", "note", `No name has “${of}” in it.`), { role: "option" }));
      list.hidden = false;
      field.setAttribute("aria-expanded", "true");
    }
    async function look() {
      const mine = ++asked, of = text();
      let found;
      try { found = await fitting(of); } catch { found = []; }
      if (mine === asked && document.activeElement === field) show(found, of);
    }
    // Enter means the text as it is, so a list of an earlier text is read anew first.
    async function enter() {
      if (list.hidden && !text()) return;
      if (shown !== text()) { clearTimeout(timer); await look(); }
      if (shown === text()) (lines()[at] || lines()[0])?.pick();
    }
    field.addEventListener("focus", look);
    field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 120); });
    field.addEventListener("blur", shut);
    field.addEventListener("keydown", (event) => {
      const of = lines(), by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") shut();
      else if (event.key === "Enter") { event.preventDefault(); enter(); }
      else if (by && of.length) {
        event.preventDefault();
        at = (at + by + of.length) % of.length;
        of.forEach((one, i) => one.setAttribute("aria-selected", String(i === at)));
        field.setAttribute("aria-activedescendant", of[at].id);
      }
    });
  }
  window.Choosing = { choosing, named };
})();
