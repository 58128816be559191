"use strict";
// The page Compare: the labelers' figures come after the page, because they are means over all labels and scores.
(() => {
  const { make, said, figure } = window.Drawing;
  const place = document.querySelector("#summaries");
  if (!place) return;
  const body = place.querySelector("tbody"), number = (value) => value.toLocaleString("en");
  const line = (...cells) => { const row = make("tr"); row.append(...cells); return row; };
  const cell = (text) => make("td", "", text), named = (text) => { const one = make("td"); one.append(said("span", "", text)); return one; };
  window.View.ask(place.dataset.from).then((found) => body.replaceChildren(...found.map((one) => {
    const scores = Object.entries(one.scores).map(([method, value]) => `${method} ${figure(value)}`).join(", ") || "not scored";
    return line(named(one.dictionary), named(one.labeler), cell(number(one.labels)), cell(number(one.uninterpretable)), cell(number(one.counting)), cell(scores));
  }))).catch((error) => {
    const told = make("td", "warn", error.message);
    told.colSpan = 6;
    body.replaceChildren(line(told));
  });
})();
