"use strict";
/* A canvas to draw on with pen, finger or mouse: two layers over a ground, undo, a mirror, and two fingers to zoom.

   still.canvas(changed) -> {element, layers …}; `changed(done)` is called while a stroke grows, and when it is done. */

still.canvas = (changed) => {
  const SIDE = 512, // of a layer
    PAST = 30, // strokes in the undo history
    NEAR = 40; // tolerance of the fill, in colour values
  const { make } = still;
  const layer = (name) => Object.assign(make("canvas", { width: SIDE, height: SIDE, data: { layer: name } }), { tabIndex: -1 });
  const layers = { colour: layer("colour"), lines: layer("lines") };
  const pens = Object.fromEntries(Object.entries(layers).map(([name, c]) => [name, c.getContext("2d", { willReadFrequently: true })]));
  const state = { tool: "brush", colour: "#d3302f", size: 26, layer: "colour", mirror: false, ground: "#ffffff" };
  const trace = make("img", { className: "sl-draw-trace", alt: "", hidden: true }),
    skin = make("img", { className: "sl-draw-skin", alt: "", hidden: true }),
    lattice = make("div", { className: "sl-draw-grid", hidden: true });
  const sheet = make("div", { className: "sl-draw-sheet" }, layers.colour, layers.lines, trace, skin, lattice);
  const element = make("div", { className: "sl-draw-canvas", tabIndex: 0, role: "img", ariaLabel: "Drawing" }, sheet);
  let past = [],
    future = [];

  const ground = (colour) => {
    state.ground = colour;
    sheet.style.background = colour;
  };
  const pixels = (name) => pens[name].getImageData(0, 0, SIDE, SIDE);
  const whole = () => ({ ground: state.ground, colour: pixels("colour"), lines: pixels("lines") });
  function put(entry) {
    if (entry.ground) ground(entry.ground);
    for (const name of ["colour", "lines"]) if (entry[name]) pens[name].putImageData(entry[name], 0, 0);
  }
  /* Stores the state before a change, for undo. */
  function remember(entry) {
    past = [...past, entry].slice(-PAST);
    future = [];
  }
  function swap(from, to) {
    const entry = from.pop();
    if (!entry) return false;
    const now = Object.fromEntries(Object.keys(entry).map((key) => [key, key === "ground" ? state.ground : pixels(key)]));
    to.push(now);
    put(entry);
    changed(true);
    return true;
  }

  /* Strokes. A mouse has no pressure of its own; a pen's makes the line a third to one and a half times as wide. */
  const pressed = (e) => (e.pointerType === "pen" ? 0.33 + 1.2 * e.pressure : 1);
  const where = (e) => {
    const box = layers.colour.getBoundingClientRect();
    return { x: ((e.clientX - box.left) / box.width) * SIDE, y: ((e.clientY - box.top) / box.height) * SIDE, w: state.size * pressed(e) };
  };
  function segment(pen, a, b) {
    pen.globalCompositeOperation = state.tool === "eraser" ? "destination-out" : "source-over";
    pen.strokeStyle = pen.fillStyle = state.colour;
    pen.lineCap = pen.lineJoin = "round";
    for (const flip of state.mirror ? [false, true] : [false]) {
      const x = (p) => (flip ? SIDE - p.x : p.x);
      pen.lineWidth = b.w;
      pen.beginPath();
      pen.moveTo(x(a), a.y);
      pen.lineTo(x(b) + (flip ? -0.01 : 0.01), b.y); // a dot counts as a line
      pen.stroke();
    }
  }
  function fill(at) {
    const all = flat(SIDE).getContext("2d").getImageData(0, 0, SIDE, SIDE).data,
      target = pixels(state.layer),
      [r, g, b] = [1, 3, 5].map((i) => parseInt(state.colour.slice(i, i + 2), 16));
    const start = (Math.floor(at.y) * SIDE + Math.floor(at.x)) * 4,
      old = [all[start], all[start + 1], all[start + 2]],
      seen = new Uint8Array(SIDE * SIDE),
      todo = [start / 4];
    const like = (i) => Math.abs(all[4 * i] - old[0]) + Math.abs(all[4 * i + 1] - old[1]) + Math.abs(all[4 * i + 2] - old[2]) <= NEAR;
    while (todo.length) {
      const i = todo.pop();
      if (seen[i] || !like(i)) continue;
      seen[i] = 1;
      const x = i % SIDE;
      if (x) todo.push(i - 1);
      if (x < SIDE - 1) todo.push(i + 1);
      if (i >= SIDE) todo.push(i - SIDE);
      if (i < SIDE * (SIDE - 1)) todo.push(i + SIDE);
    }
    /* One pixel further, so that the fill covers the soft edge of a stroke. */
    for (let i = 0; i < seen.length; i++)
      if (seen[i] || seen[i - 1] || seen[i + 1] || seen[i - SIDE] || seen[i + SIDE]) target.data.set([r, g, b, 255], 4 * i);
    pens[state.layer].putImageData(target, 0, 0);
  }

  /* Fingers: one draws, two zoom and move the sheet. */
  const down = new Map();
  let last = null,
    pinch = null,
    view = { scale: 1, x: 0, y: 0 };
  const show = () => (sheet.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`);
  function grip() {
    const [a, b] = [...down.values()];
    return { x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2, d: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) };
  }
  element.addEventListener("pointerdown", (e) => {
    if (e.button) return;
    e.preventDefault();
    element.focus();
    element.setPointerCapture(e.pointerId);
    down.set(e.pointerId, e);
    if (down.size === 2) {
      if (last) put(past.pop()); // the first finger's stroke is dropped
      last = null;
      pinch = { ...grip(), view: { ...view } };
    }
    if (down.size > 1) return;
    const at = where(e);
    remember({ [state.layer]: pixels(state.layer) });
    if (state.tool === "fill") {
      if (at.x >= 0 && at.y >= 0 && at.x < SIDE && at.y < SIDE) fill(at);
      return changed(true);
    }
    segment(pens[state.layer], at, at);
    last = at;
    changed(false);
  });
  element.addEventListener("pointermove", (e) => {
    if (!down.has(e.pointerId)) return;
    down.set(e.pointerId, e);
    if (pinch && down.size === 2) {
      const now = grip(),
        box = element.getBoundingClientRect(),
        scale = Math.min(6, Math.max(1, (pinch.view.scale * now.d) / pinch.d)),
        k = scale / pinch.view.scale;
      const limit = (v, room) => Math.min(0, Math.max(room * (1 - scale), v));
      view = {
        scale,
        x: limit(now.x - box.left - k * (pinch.x - box.left - pinch.view.x), box.width),
        y: limit(now.y - box.top - k * (pinch.y - box.top - pinch.view.y), box.height),
      };
      return show();
    }
    if (!last) return;
    const parts = e.getCoalescedEvents?.() ?? [];
    for (const one of parts.length ? parts : [e]) {
      const at = where(one);
      segment(pens[state.layer], last, at);
      last = at;
    }
    changed(false);
  });
  function up(e) {
    if (!down.delete(e.pointerId)) return;
    if (down.size < 2) pinch = null;
    if (!last) return;
    last = null;
    changed(true);
  }
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);

  /* The drawing as one canvas, without the picture for tracing. */
  function flat(side) {
    const out = make("canvas", { width: side, height: side }),
      pen = out.getContext("2d");
    pen.fillStyle = state.ground;
    pen.fillRect(0, 0, side, side);
    for (const one of Object.values(layers)) pen.drawImage(one, 0, 0, side, side);
    return out;
  }

  /* What the drawing shows: nothing yet, lines on paper, or areas of colour. */
  function shows() {
    const side = 128,
      data = flat(side).getContext("2d").getImageData(0, 0, side, side).data,
      paper = [1, 3, 5].map((i) => parseInt(state.ground.slice(i, i + 2), 16));
    let ink = 0,
      coloured = 0;
    for (let i = 0; i < data.length; i += 4) {
      const rgb = [data[i], data[i + 1], data[i + 2]];
      if (Math.max(...rgb.map((v, k) => Math.abs(v - paper[k]))) < 40) continue;
      ink += 1;
      if (Math.max(...rgb) - Math.min(...rgb) > 48) coloured += 1;
    }
    if (!ink) return "nothing";
    return ink < 0.4 * side * side && coloured < 0.05 * ink ? "lines" : "colours";
  }
  /* Its lines, black on white: where neighbouring pixels differ. */
  function outlined(side) {
    const out = make("canvas", { width: side, height: side }),
      pen = out.getContext("2d"),
      from = flat(side).getContext("2d").getImageData(0, 0, side, side).data,
      to = pen.createImageData(side, side),
      reach = Math.max(1, Math.round(side / 200));
    const at = (x, y) => 4 * (Math.min(side - 1, Math.max(0, y)) * side + Math.min(side - 1, Math.max(0, x)));
    const apart = (a, b) => Math.max(...[0, 1, 2].map((k) => Math.abs(from[a + k] - from[b + k])));
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++) {
        const edge = Math.max(apart(at(x - reach, y), at(x + reach, y)), apart(at(x, y - reach), at(x, y + reach))) > 48;
        to.data.set(edge ? [0, 0, 0, 255] : [255, 255, 255, 255], 4 * (y * side + x));
      }
    pen.putImageData(to, 0, 0);
    return out;
  }
  /* The drawing becomes its lines, or those of a picture, to be drawn on. */
  function outline(lines = outlined(SIDE)) {
    remember(whole());
    ground("#ffffff");
    pens.colour.clearRect(0, 0, SIDE, SIDE);
    pens.lines.globalCompositeOperation = "source-over";
    pens.lines.drawImage(lines, 0, 0, SIDE, SIDE);
    changed(true);
  }
  /* The centre of a picture as a square, at most 512 pixels a side, or null after a message. */
  async function square(blob) {
    const picture = await createImageBitmap(blob).catch(() => null);
    if (!picture) return still.say("This is no picture that the browser can read.", "error"), null;
    const from = Math.min(picture.width, picture.height),
      side = Math.min(from, 512),
      out = make("canvas", { width: side, height: side });
    out.getContext("2d").drawImage(picture, (picture.width - from) / 2, (picture.height - from) / 2, from, from, 0, 0, side, side);
    return out;
  }

  function smooth(pen, corners) {
    const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    pen.moveTo(...middle(corners.at(-1), corners[0]));
    corners.forEach((c, i) => pen.quadraticCurveTo(...c, ...middle(c, corners[(i + 1) % corners.length])));
  }
  /* Replaces the drawing by one of still.sketches. */
  function sketch({ ground: colour, shapes }) {
    remember(whole());
    ground(colour);
    for (const pen of Object.values(pens)) pen.clearRect(0, 0, SIDE, SIDE);
    const pen = pens.colour,
      unit = SIDE / 100;
    pen.globalCompositeOperation = "source-over";
    for (const [kind, ink, ...n] of shapes) {
      const v = n.map((x) => x * unit);
      pen.fillStyle = pen.strokeStyle = ink;
      pen.beginPath();
      if (kind === "disk") pen.ellipse(v[0], v[1], v[2] / 2, v[3] / 2, 0, 0, 7);
      else if (kind === "box") pen.roundRect(v[0], v[1], v[2], v[3], 3 * unit);
      else if (kind === "path") smooth(pen, v.reduce((all, x, i) => (i % 2 ? [...all.slice(0, -1), [...all.at(-1), x]] : [...all, [x]]), []));
      if (kind !== "line") {
        pen.fill();
        continue;
      }
      pen.lineWidth = v[0];
      pen.lineCap = pen.lineJoin = "round";
      for (let i = 1; i < v.length; i += 2) pen.lineTo(v[i], v[i + 1]);
      pen.stroke();
    }
    changed(true);
  }
  function clear() {
    remember(whole());
    for (const pen of Object.values(pens)) pen.clearRect(0, 0, SIDE, SIDE);
    ground("#ffffff");
    changed(true);
  }
  /* Draws the centre of a picture into the colour layer, as large as the sheet. */
  async function place(blob) {
    const picture = await square(blob);
    if (!picture) return;
    remember(whole());
    pens.colour.globalCompositeOperation = "source-over";
    pens.colour.clearRect(0, 0, SIDE, SIDE);
    pens.lines.clearRect(0, 0, SIDE, SIDE);
    pens.colour.drawImage(picture, 0, 0, SIDE, SIDE);
    changed(true);
  }

  const kept = () => JSON.stringify({ ground: state.ground, colour: layers.colour.toDataURL(), lines: layers.lines.toDataURL() });
  async function bring(text) {
    const saved = JSON.parse(text);
    ground(saved.ground);
    for (const name of ["colour", "lines"]) {
      const picture = new Image();
      picture.src = saved[name];
      await picture.decode();
      pens[name].drawImage(picture, 0, 0);
    }
  }
  ground(state.ground);
  return {
    element,
    state,
    ground: (colour) => (remember({ ground: state.ground }), ground(colour), changed(true)),
    undo: () => swap(past, future),
    redo: () => swap(future, past),
    flat,
    shows,
    outlined,
    outline,
    square,
    sketch,
    clear,
    place,
    kept,
    bring,
    trace,
    skin,
    lattice,
    whole: () => ((view = { scale: 1, x: 0, y: 0 }), show()),
  };
};
