"use strict";
// Cards, crops, heat maps and figures as the gallery and the browser view draw them. Texts become text nodes: nothing
// here writes markup.
window.Drawing = (() => {
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
  // The score's distance from chance, of the whole distance: chance is 0 for gain, and 0.5 for the others.
  const level = ({ score, method }) => {
    const worth = method === "gain" ? score : 2 * score - 1;
    return score === null ? "" : worth >= 0.6 ? "good" : worth >= 0.3 ? "fair" : "poor";
  };
  const short = (value) => Number(value.toPrecision(3)).toString();

  // A picture, cut to a box by style alone, with its heat above it. A picture is {src, size: [width, height], prompt}.
  function cut(picture, box, map) {
    const [width, height] = picture.size;
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
    place(Object.assign(make("img"), { src: picture.src, alt: "", loading: "lazy", decoding: "async" }));
    frame.heat = (found) => { if (found && !frame.querySelector("canvas")) place(heat(found)); };
    frame.heat(map);
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

  // A card of a feature, `kind` its element. Its tiles are blank until `fill` gets what stands in them.
  const nameOf = (feature) => feature.name || (feature.status === "uninterpretable" ? "uninterpretable" : "not labeled");
  function card(kind, feature, shownId) {
    const made = make(kind, "card"), id = make("div", "id"), score = make("span", level(feature));
    if (feature.score !== null) {
      const meter = make("span", "meter"), bar = make("i");
      bar.style.width = `${100 * Math.max(feature.score, 0)}%`;
      score.title = feature.method;
      meter.append(bar);
      score.append(meter, figure(feature.score));
    }
    id.append(make("span", "", shownId), score);
    const tiles = make("div", "tiles");
    if (feature.state !== "dead") tiles.append(...Array.from({ length: 3 }, () => make("div", "blank")));
    made.append(said("h3", feature.name ? "" : "unnamed", nameOf(feature)), id, tiles, said("p", "", feature.text));
    made.fill = (found) => tiles.replaceChildren(...found);
    return made;
  }

  function section(title, small, ...children) {
    const made = make("section"), head = make("h3", "", `${title} `);
    if (small) head.append(make("small", "", small));
    made.append(head, ...children);
    return made;
  }
  const ROLES = [
    ["top", "Strongest", "where it fires most"], ["quantile", "Over its range", "strong to weak"],
    ["negative", "Silent", "images in which it does not fire"],
  ];
  // The crops of a feature by their role, and one of them as a whole picture in `whole`: the one that is picked. A crop
  // is [picture, box, role, activation, step, place, map], and `pictureOf` gives the picture of its number.
  function places(crops, pictureOf, whole) {
    const buttons = [], made = [];
    for (const [role, title, small] of ROLES) {
      const some = crops.filter((crop) => crop[2] === role);
      if (!some.length) continue;
      const tiles = make("div", "tiles large");
      for (const crop of some) {
        const button = make("button"), picture = pictureOf(crop[0]);
        button.type = "button";
        button.title = picture.prompt;
        button.setAttribute("aria-pressed", "false");
        button.append(cut(picture, crop[1], crop[6]), make("small", "", role === "negative" ? "silent" : short(crop[3])));
        button.addEventListener("click", () => pick(button, crop));
        buttons.push([button, crop]);
        tiles.append(button);
      }
      made.push(section(title, small, tiles));
    }
    function pick(button, crop) {
      buttons.forEach(([other]) => other.setAttribute("aria-pressed", String(other === button)));
      const [number, , , activation, step, cell, map] = crop, frame = cut(pictureOf(number), null, map);
      const where = crop[2] === "negative" ? "silent here" : `activation ${short(activation)} at step ${step}, ${cell}`;
      frame.title = "Click to show or hide where it fires";
      frame.addEventListener("click", () => frame.classList.toggle("plain"));
      whole.replaceChildren(frame, said("p", "", pictureOf(number).prompt), make("small", "", where));
    }
    if (buttons.length) pick(...buttons[0]);
    return made;
  }
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
  return { make, said, percent, figure, short, level, cut, heat, card, nameOf, section, places, scores, bars, scale, histogram, steps };
})();
