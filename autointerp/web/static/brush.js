"use strict";
// Cells of a picture that are brushed, by mouse, finger or keys, on a canvas that lies over the picture.
(() => {
  // `changed` is called when cells were brushed or erased. The cells are outlined in `ink`; `dims` darkens the others, and
  // where `toggles` holds, a stroke that begins on a cell that is brushed erases.
  function brush(canvas, [rows, cols], changed, { ink = "#fff", dims = true, toggles = false } = {}) {
    const cells = new Uint8Array(rows * cols), context = canvas.getContext("2d"), SCALE = 12;
    const state = { tool: "brush", width: 1 };
    let cursor = Math.floor(rows / 2) * cols + Math.floor(cols / 2), last = -1;
    Object.assign(canvas, { width: cols * SCALE, height: rows * SCALE });
    function draw() {
      const some = cells.some(Boolean);
      context.clearRect(0, 0, canvas.width, canvas.height);
      for (let i = 0; i < cells.length; i += 1) {
        const x = (i % cols) * SCALE, y = Math.floor(i / cols) * SCALE;
        if (dims && some && !cells[i]) { context.fillStyle = "rgb(10 12 24 / 55%)"; context.fillRect(x, y, SCALE, SCALE); }
        if (!cells[i]) continue;
        if (!dims) { context.globalAlpha = 0.25; context.fillStyle = ink; context.fillRect(x, y, SCALE, SCALE); context.globalAlpha = 1; }
        context.fillStyle = ink;
        if (i % cols === 0 || !cells[i - 1]) context.fillRect(x, y, 1.5, SCALE);
        if (i % cols === cols - 1 || !cells[i + 1]) context.fillRect(x + SCALE - 1.5, y, 1.5, SCALE);
        if (i < cols || !cells[i - cols]) context.fillRect(x, y, SCALE, 1.5);
        if (i >= cells.length - cols || !cells[i + cols]) context.fillRect(x, y + SCALE - 1.5, SCALE, 1.5);
      }
      if (document.activeElement === canvas && canvas.matches(":focus-visible")) {
        context.strokeStyle = "#ffd54a";
        context.lineWidth = 2;
        context.strokeRect((cursor % cols) * SCALE + 1, Math.floor(cursor / cols) * SCALE + 1, SCALE - 2, SCALE - 2);
      }
    }
    function put(cell) {
      const row = Math.floor(cell / cols), col = cell % cols, reach = state.width - 1;
      for (let r = Math.max(row - reach, 0); r <= Math.min(row + reach, rows - 1); r += 1) {
        for (let c = Math.max(col - reach, 0); c <= Math.min(col + reach, cols - 1); c += 1) {
          if ((r - row) ** 2 + (c - col) ** 2 <= reach * reach + 0.5) cells[r * cols + c] = state.tool === "erase" ? 0 : 1;
        }
      }
    }
    function at(event) {
      const box = canvas.getBoundingClientRect();
      const col = Math.floor(cols * (event.clientX - box.left) / box.width), row = Math.floor(rows * (event.clientY - box.top) / box.height);
      return Math.min(Math.max(row, 0), rows - 1) * cols + Math.min(Math.max(col, 0), cols - 1);
    }
    // A quick stroke skips cells: those between are brushed too.
    function stroke(to) {
      const from = last < 0 ? to : last, steps = Math.max(Math.abs(to % cols - from % cols), Math.abs(Math.floor(to / cols) - Math.floor(from / cols)), 1);
      for (let i = 1; i <= steps; i += 1) {
        const mix = (a, b) => Math.round(a + (b - a) * i / steps);
        put(mix(Math.floor(from / cols), Math.floor(to / cols)) * cols + mix(from % cols, to % cols));
      }
      last = to;
      draw();
    }
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); last = -1; if (toggles) state.tool = cells[at(event)] ? "erase" : "brush"; stroke(at(event)); event.preventDefault(); canvas.focus({ preventScroll: true }); });
    canvas.addEventListener("pointermove", (event) => { if (canvas.hasPointerCapture(event.pointerId)) stroke(at(event)); });
    canvas.addEventListener("pointerup", () => { last = -1; changed(); });
    canvas.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (event.key === " " || event.key === "Enter") { if (toggles) state.tool = cells[cursor] ? "erase" : "brush"; put(cursor); changed(); }
      else if (by) {
        const row = Math.floor(cursor / cols) + by[0], col = cursor % cols + by[1];
        if (row >= 0 && row < rows && col >= 0 && col < cols) cursor = row * cols + col;
      } else return;
      event.preventDefault();
      draw();
    });
    canvas.addEventListener("focus", draw);
    canvas.addEventListener("blur", draw);
    draw();
    return {
      state,
      count: () => cells.reduce((a, b) => a + b, 0),
      list: () => [...cells.keys()].filter((i) => cells[i]),
      text: () => [...cells].join(""),
      set: (text) => { for (let i = 0; i < cells.length; i += 1) cells[i] = text[i] === "1" ? 1 : 0; draw(); },
      clear: () => { cells.fill(0); draw(); },
    };
  }
  // Cells in an address: hexadecimal digits of four cells each.
  const toHex = (text) => text.replace(/.{1,4}/g, (four) => parseInt(four.padEnd(4, "0"), 2).toString(16));
  const fromHex = (hex, count) => [...hex].map((one) => (parseInt(one, 16) || 0).toString(2).padStart(4, "0")).join("").slice(0, count).padEnd(count, "0");
  window.Brush = { brush, toHex, fromHex };
})();
