"use strict";
/* The curves of a training: one quantity at a time, a line for each player, and the values at the pointer. */

still.curves = (element) => {
  const { make } = still;
  const HEIGHT = 190,
    LEFT = 52,
    TOP = 8,
    BOTTOM = 24;
  const COLOURS = ["--sl-accent", "--sl-ok", "--sl-soft", "--sl-warn", "--sl-bad", "--sl-ink"];
  const pick = make("div", { className: "sl-picks", role: "group", ariaLabel: "Quantity" });
  const canvas = make("div", { className: "sl-plot" });
  const legend = make("div", { className: "sl-facts" });
  element.replaceChildren(pick, canvas, legend);
  let plots = [],
    chosen = null,
    scale = null;

  const svg = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const colour = (i) => `var(${COLOURS[i % COLOURS.length]})`;
  const short = (v) =>
    v === 0 ? "0" : Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3 ? v.toExponential(1) : String(+v.toPrecision(3));

  /* Exponential smoothing over about a sixteenth of the curve. */
  function smooth(points) {
    const keep = 1 - 1 / Math.max(1, points.length / 16);
    let mean = points[0][1];
    return points.map(([step, value], i) => [step, (mean += (1 - Math.min(keep, i / (i + 1))) * (value - mean))]);
  }

  /* A logarithmic axis where the first steps would otherwise hide the rest. */
  function scaled(lines, width) {
    const steps = lines.flatMap((l) => l.points.map((p) => p[0]));
    const values = lines.flatMap((l) => l.points.map((p) => p[1])).sort((a, b) => a - b);
    const [least, most] = [values[0], values.at(-1)];
    const log = least > 0 && most > 20 * values[Math.floor(values.length / 2)];
    const f = log ? Math.log10 : (v) => v;
    let [low, high] = [f(least), f(most)];
    if (high === low) [low, high] = [low - 0.5, high + 0.5];
    const [first, last] = [Math.min(...steps), Math.max(...steps)];
    const x = (step) => LEFT + ((step - first) / Math.max(1, last - first)) * (width - LEFT - 8);
    const y = (value) => TOP + ((high - f(value)) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const ticks = [0, 1, 2, 3].map((k) => low + ((high - low) * k) / 3).map((v) => (log ? 10 ** v : v));
    return { x, y, ticks, first, last, log };
  }

  function draw() {
    const plot = plots.find((p) => p.quantity === chosen);
    const lines = plot?.lines.filter((l) => l.points.length) ?? [];
    const width = canvas.clientWidth;
    if (!lines.length || !width) return;
    scale = scaled(lines, width);
    const { x, y, ticks, first, last } = scale;
    const text = (at, anchor, words) => svg("text", { ...at, "text-anchor": anchor }, words);
    const rules = ticks.map((v) => svg("line", { x1: LEFT, x2: width - 8, y1: y(v), y2: y(v) }));
    const labels = ticks.map((v) => text({ x: LEFT - 8, y: y(v) + 4 }, "end", short(v)));
    const ends = [text({ x: LEFT, y: HEIGHT - 6 }, "start", first.toLocaleString("en"))];
    if (last > first) ends.push(text({ x: width - 8, y: HEIGHT - 6 }, "end", `step ${last.toLocaleString("en")}`));
    const path = (points, i, kind) =>
      svg("polyline", {
        points: points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" "),
        stroke: colour(i),
        class: kind,
      });
    const paths = [
      ...lines.map((l, i) => path(l.points, i, "sl-raw")),
      ...lines.map((l, i) => path(smooth(l.points), i, "")),
    ];
    const dots = lines.map((l, i) =>
      svg("circle", { r: 3, cx: x(l.points.at(-1)[0]), cy: y(l.points.at(-1)[1]), fill: colour(i) }),
    );
    const cursor = svg("line", { class: "sl-cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    const parts = [svg("g", { class: "sl-rules" }, ...rules), ...labels, ...ends, ...paths, ...dots, cursor];
    const says = `${chosen} up to step ${last}`;
    canvas.replaceChildren(
      svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": says }, ...parts),
    );
    tell(lines, null);
    canvas.onpointermove = (event) => {
      const at = event.clientX - canvas.getBoundingClientRect().left;
      const near = (l) => l.points.reduce((a, b) => (Math.abs(x(b[0]) - at) < Math.abs(x(a[0]) - at) ? b : a));
      const picked = lines.map(near);
      cursor.setAttribute("visibility", "visible");
      cursor.setAttribute("x1", x(picked[0][0]));
      cursor.setAttribute("x2", x(picked[0][0]));
      tell(lines, picked);
    };
    canvas.onpointerleave = () => {
      cursor.setAttribute("visibility", "hidden");
      tell(lines, null);
    };
  }

  function tell(lines, picked) {
    const at = (l, i) => (picked ? picked[i] : l.points.at(-1));
    const words = lines.map((l, i) =>
      make("span", { style: `color:${colour(i)}` }, `— ${l.name} ${short(at(l, i)[1])}`),
    );
    const notes = picked ? [`at step ${picked[0][0].toLocaleString("en")}`] : scale.log ? ["logarithmic"] : [];
    legend.replaceChildren(...words, ...notes.map((n) => make("span", {}, n)));
  }

  function choose(quantity) {
    chosen = quantity;
    for (const button of pick.children)
      button.ariaPressed = String(button.textContent === quantity.replaceAll("_", " "));
    draw();
  }

  new ResizeObserver(draw).observe(canvas);
  return {
    show(quantities) {
      plots = quantities;
      const names = plots.map((p) => p.quantity);
      const button = (q) =>
        make("button", { className: "sl-small", onclick: () => choose(q) }, q.replaceAll("_", " "));
      if (pick.children.length !== names.length)
        pick.replaceChildren(...(names.length > 1 ? names.map(button) : []));
      element.classList.toggle("sl-none", !names.length);
      if (names.length) choose(names.includes(chosen) ? chosen : names[0]);
    },
  };
};
