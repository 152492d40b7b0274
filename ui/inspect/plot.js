"use strict";
/* Curves of Inspect over the way from noise to picture: a line for each row of models, its band around it. */

still.plot = (title, note, lines, fixed) => {
  const { make } = still;
  const W = 420, H = 170, L = 40, B = 26, T = 8;
  const COLOURS = ["--sl-accent", "--sl-ok", "--sl-bad", "--sl-warn", "--sl-soft", "--sl-ink"];
  const all = lines.flatMap((l) => l.value.map((v, i) => [v - l.error[i], v + l.error[i]])).flat();
  const [low, high] = fixed ?? [0, Math.max(...all) || 1];
  const x = (t) => L + (1 - t) * (W - L - 8);
  const y = (v) => T + ((high - Math.min(high, Math.max(low, v))) / (high - low)) * (H - T - B);
  const svg = (tag, attributes, ...children) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    e.append(...children);
    return e;
  };
  const marks = [low, (low + high) / 2, high].flatMap((v) => [
    svg("line", { x1: L, x2: W - 8, y1: y(v), y2: y(v), class: "sl-look-rule" }),
    svg("text", { x: L - 6, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(fixed ? 1 : 2)),
  ]);
  marks.push(svg("text", { x: L, y: H - 6 }, "noise"), svg("text", { x: W - 8, y: H - 6, "text-anchor": "end" }, "picture"));
  const drawn = lines.flatMap((l, n) => {
    const colour = `var(${COLOURS[n % COLOURS.length]})`;
    const up = l.t.map((t, i) => `${x(t)},${y(l.value[i] + l.error[i])}`), down = l.t.map((t, i) => `${x(t)},${y(l.value[i] - l.error[i])}`);
    return [
      svg("polygon", { points: [...up, ...down.reverse()].join(" "), fill: colour, opacity: 0.14 }),
      svg("polyline", { points: l.t.map((t, i) => `${x(t)},${y(l.value[i])}`).join(" "), fill: "none", stroke: colour, "stroke-width": 2 }),
      ...l.t.map((t, i) => svg("circle", { cx: x(t), cy: y(l.value[i]), r: 2.5, fill: colour })),
    ];
  });
  const ontoggle = ({ currentTarget: { open } }) => still.plot.open[open ? "add" : "delete"](title);
  const legend = lines.map((l, n) =>
    make("span", {}, make("i", { style: `background: var(${COLOURS[n % COLOURS.length]})` }), l.label),
  );
  return make(
    "figure",
    { className: "sl-look-plot" },
    make("figcaption", {}, title),
    make("details", { className: "sl-look-why", open: still.plot.open.has(title), ontoggle }, make("summary", {}, "What it can't tell"), note),
    svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title }, ...marks, ...drawn),
    make("div", { className: "sl-look-legend" }, ...legend),
  );
};
still.plot.open = new Set(); // titles of the plots whose note is open, as plots are drawn anew while cells come
