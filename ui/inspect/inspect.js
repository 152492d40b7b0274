"use strict";
/* Inspect: what models think the picture is at every step. Rows are models and seeds, columns are noise levels.

   Cells come while they are computed: one call waits a moment for the next ones. What is asked for stands in the URL. */

still.parts.inspect = (element, part) => {
  still.adopt(part);
  const { make, plural } = still;
  const MOST = 4;
  const query = new URLSearchParams(location.search);
  const asked = {
    prompt: query.get("prompt") ?? "a red mushroom",
    seed: Number(query.get("seed") ?? 1) || 0,
    seeds: Number(query.get("seeds") ?? 2) || 2,
    models: (query.get("models") ?? "toybox-sd:25,toybox-hyper:4,toybox-dmd2:4").split(",").filter(Boolean),
    field: query.get("field") ?? "",
    values: query.get("values") ?? "0, 1",
    view: query.get("view") ?? "x0",
  };
  let known = [],
    cells = [],
    grid = { lanes: [], columns: [], log_snr: [] },
    chosen = null, // the cell in the close-up
    other = null, // the one that it is compared with
    round = 0;

  const field = (label, control) => make("label", { className: "sl-look-field" }, make("span", {}, label), control);
  const prompt = make("input", { className: "sl-input", id: "inspect-prompt", ariaLabel: "Prompt", dir: "auto", value: asked.prompt });
  const seed = make("input", { className: "sl-input", id: "inspect-seed", type: "number", min: 0, value: asked.seed });
  const seeds = make("select", {}, ...[1, 2, 4].map((n) => make("option", { value: n, selected: n === asked.seeds }, n)));
  const vary = make("select", { onchange: () => (values.hidden = !vary.value) });
  const values = make("input", { className: "sl-input", ariaLabel: "Values", value: asked.values, hidden: !asked.field });
  const view = make("select", { onchange: () => showView() });
  const go = make("button", { className: "sl-go", id: "inspect-go" }, "Look");
  const halt = make("button", { type: "button", className: "sl-small", disabled: true, onclick: stop }, "Stop");
  const save = make(
    "select",
    { ariaLabel: "Export", onchange: () => exported() },
    ...[
      ["", "Export …"],
      ["png", "Grid as PNG"],
      ["gif", "Animation as GIF"],
      ["webp", "Animation as WebP"],
      ["raw", "Numbers as ZIP"],
    ].map(([value, words]) => make("option", { value }, words)),
  );
  const chips = make("div", { className: "sl-picks", role: "group", ariaLabel: "Models" });
  const form = make(
    "form",
    { className: "sl-look-form", onsubmit: look },
    make("div", { className: "sl-acts" }, prompt, go, halt),
    chips,
    make("div", { className: "sl-look-fields" }, field("First seed", seed), field("Seeds", seeds), field("Vary", vary), values, field("Show", view), save),
  );
  const sheet = make("div", { className: "sl-look", tabIndex: 0, role: "grid", ariaLabel: "Steps" });
  const large = make("aside", { className: "sl-look-large", hidden: true });
  const curves = make("div", { className: "sl-look-curves" });
  const tree = make("nav", { className: "sl-look-tree", ariaLabel: "Branches", hidden: true });
  element.replaceChildren(make("div", { className: "sl-inspect" }, form, tree, make("div", { className: "sl-look-body" }, sheet, large), curves));

  const picked = () => asked.models.map((m) => m.split(":")).map(([id, steps]) => ({ id, steps: Number(steps) }));

  function offer() {
    const chosenIds = new Map(picked().map((m) => [m.id, m.steps]));
    chips.replaceChildren(
      ...known.map((m) => {
        const on = chosenIds.has(m.id);
        const toggle = make(
          "button",
          { type: "button", className: "sl-small", ariaPressed: String(on), disabled: Boolean(m.reason), title: m.reason ?? m.note, onclick: () => take(m) },
          m.id,
        );
        if (!on) return toggle;
        const steps = make(
          "select",
          { ariaLabel: `Steps of ${m.id}`, onchange: () => ((asked.models = asked.models.map((x) => (x.split(":")[0] === m.id ? `${m.id}:${steps.value}` : x))), look()) },
          ...m.steps.map((n) => make("option", { value: n, selected: n === chosenIds.get(m.id) }, plural(n, "step"))),
        );
        return make("span", { className: "sl-look-model" }, toggle, steps);
      }),
    );
  }

  function take(m) {
    const there = asked.models.filter((x) => x.split(":")[0] !== m.id);
    if (there.length === asked.models.length) {
      if (there.length === MOST) return still.say(`${MOST} models are enough to look into; take one away first.`);
      there.push(`${m.id}:${m.default_steps}`);
    }
    asked.models = there;
    offer();
    return look();
  }

  function remember() {
    const { prompt: p, seed: s, seeds: n, models, field: f, values: v, view: w } = asked;
    const fields = { prompt: p, seed: s, seeds: n, models: models.join(","), view: w, ...(f && { field: f, values: v }) };
    history.replaceState(null, "", `${location.pathname}?${new URLSearchParams(fields)}`);
  }

  async function look(event) {
    event?.preventDefault();
    asked.prompt = prompt.value.trim();
    asked.seed = Math.max(0, Math.floor(Number(seed.value)) || 0);
    asked.seeds = Number(seeds.value);
    asked.field = vary.value;
    asked.values = values.value;
    seed.value = asked.seed;
    if (!asked.prompt) return still.say("Type a prompt to inspect.");
    if (!asked.models.length) return still.say("Choose at least one model.");
    remember();
    still.say("");
    const numbers = asked.values.split(",").map((v) => Number(v.trim()));
    if (asked.field && numbers.some((v) => !Number.isFinite(v))) return still.say("Values are numbers with commas, such as 0, 1.", "error");
    const mine = ++round;
    cells = [];
    chosen = other = null;
    large.hidden = true;
    go.disabled = true;
    halt.disabled = false;
    const answer = await still.call("look", { prompt: asked.prompt, models: picked(), field: asked.field, values: numbers, seed: asked.seed, seeds: asked.seeds, view: asked.view });
    go.disabled = false;
    if (mine !== round) return undefined;
    return follow(answer, mine);
  }

  /* Cells as they come, until nothing works any more. */
  async function follow(answer, mine) {
    while (answer && mine === round) {
      cells.push(...answer.cells);
      grid = answer;
      draw();
      if (answer.failure) still.say(answer.failure, "error");
      if (!answer.working) break;
      answer = await still.call("look_more", { after: cells.length });
    }
    if (mine === round) halt.disabled = true;
  }

  function stop() {
    still.call("look_stop");
    halt.disabled = true;
  }

  async function showView() {
    asked.view = view.value;
    remember();
    if (!cells.length) return;
    const answer = await still.call("look_view", { view: asked.view });
    if (!answer) return;
    cells = answer.cells;
    draw();
    if (chosen) open(find(chosen));
  }

  const find = (c) => cells.find((d) => d.lane === c.lane && d.picture === c.picture && d.step === c.step);
  const place = (c) => grid.columns[c.lane]?.[stepsOf(c.lane).indexOf(c.step)] ?? 0;
  const stepsOf = (lane) => [...new Set(cells.filter((c) => c.lane === lane).map((c) => c.step))].sort((a, b) => a - b);

  function draw() {
    sheet.style.setProperty("--columns", Math.max(1, grid.log_snr.length));
    const heads = grid.log_snr.map((v, i) => make("span", { className: "sl-look-head", style: `grid-column: ${i + 2}` }, v.toFixed(1)));
    const corner = make("span", { className: "sl-look-head sl-look-label", title: "log of signal to noise: equal columns are equal noise" }, "log-SNR");
    const rows = [];
    let line = 2;
    grid.lanes.forEach((lane, n) => {
      lane.seeds.forEach((s, k) => {
        const words = make("span", { className: "sl-look-label", style: `grid-row: ${line}` }, make("b", {}, lane.label), ` seed ${s}`);
        const mine = cells.filter((c) => c.lane === n && c.picture === k);
        rows.push(words, ...mine.map((c) => cell(c, line, lane, s)));
        line++;
      });
    });
    sheet.replaceChildren(corner, ...heads, ...rows);
    drawTree();
    drawCurves();
  }

  /* Which row goes on from which: a tree, of which one can walk back. */
  function drawTree() {
    const of = (parent) =>
      grid.lanes.flatMap((lane, n) => {
        if ((lane.parent?.lane ?? null) !== parent) return [];
        const first = () => open(cells.find((c) => c.lane === n));
        const name = make("button", { type: "button", className: "sl-link", onclick: first }, lane.label);
        const below = of(n);
        const current = chosen?.lane === n;
        if (current) name.ariaCurrent = "true";
        return [make("li", {}, name, below.length ? make("ul", {}, ...below) : null)];
      });
    tree.hidden = !grid.lanes.some((lane) => lane.parent);
    tree.replaceChildren(make("b", {}, "Branches"), make("ul", {}, ...of(null)));
  }

  /* The same picture on Create, where it is kept with its whole descent. */
  function address(lane) {
    const fields = Object.entries({ ...lane.request, seed: lane.seeds[chosen.picture], num_images: 1 });
    return `./?${new URLSearchParams(fields.filter(([name, value]) => value !== "" && name !== "width" && name !== "height"))}`;
  }

  function cell(c, line, lane, s) {
    const here = chosen && chosen.lane === c.lane && chosen.picture === c.picture && chosen.step === c.step;
    return make(
      "button",
      {
        type: "button",
        className: `sl-look-cell${here ? " sl-on" : ""}`,
        style: `grid-row: ${line}; grid-column: ${place(c) + 2}`,
        ariaLabel: `${lane.label}, seed ${s}, step ${c.step + 1}`,
        title: `${c.model}, step ${c.step + 1}, t ${c.t.toFixed(2)}, log-SNR ${c.log_snr.toFixed(1)}`,
        tabIndex: -1,
        onclick: (event) => (event.shiftKey && chosen ? against(c) : open(c)),
      },
      make("img", { src: c.src, alt: "" }),
    );
  }

  /* The close-up: a scrubber over the row's steps, a second cell to wipe against, and where to go on from. */
  function open(c) {
    if (!c) return;
    chosen = c;
    other = null;
    render();
  }
  function against(c) {
    other = c;
    render();
  }

  function render() {
    const lane = grid.lanes[chosen.lane],
      steps = stepsOf(chosen.lane),
      at = steps.indexOf(chosen.step);
    const scrub = make("input", {
      type: "range",
      min: 0,
      max: steps.length - 1,
      value: at,
      ariaLabel: "Step",
      oninput: () => open(find({ ...chosen, step: steps[Number(scrub.value)] })),
    });
    const picture = make("div", { className: "sl-look-picture" }, make("img", { src: chosen.src, alt: `step ${chosen.step + 1}` }));
    const extra = [];
    if (other) {
      const top = make("img", { src: other.src, alt: `compared with step ${other.step + 1}`, className: "sl-look-over" });
      const wipe = make("input", { type: "range", min: 0, max: 100, value: 50, ariaLabel: "Wipe", oninput: () => (top.style.clipPath = `inset(0 ${100 - wipe.value}% 0 0)`) });
      top.style.clipPath = "inset(0 50% 0 0)";
      picture.append(top);
      extra.push(wipe, make("p", { className: "sl-note" }, `Left: ${other.model}, step ${other.step + 1}. Right: ${chosen.model}, step ${chosen.step + 1}.`));
    }
    large.hidden = false;
    large.replaceChildren(
      make("button", { type: "button", className: "sl-away", ariaLabel: "Close", onclick: () => ((chosen = null), (large.hidden = true), draw()) }, "×"),
      picture,
      ...extra,
      scrub,
      make("p", { className: "sl-facts" }, `${chosen.model}, step ${chosen.step + 1} of ${lane.request.steps}, t ${chosen.t.toFixed(2)}, log-SNR ${chosen.log_snr.toFixed(1)}`),
      make("p", { className: "sl-note" }, "Shift-click another cell to wipe between the two."),
      make(
        "div",
        { className: "sl-picks" },
        lane.parent ? make("button", { type: "button", className: "sl-small", onclick: () => open(find(lane.parent)) }, "Back to where it branched") : null,
        make("a", { className: "sl-small", href: address(lane) }, "Paint on Create"),
      ),
      branching(lane),
    );
    drawTree();
    sheet.querySelectorAll(".sl-on").forEach((e) => e.classList.remove("sl-on"));
    const n = grid.lanes.slice(0, chosen.lane).reduce((sum, l) => sum + l.seeds.length, 0) + chosen.picture;
    sheet.querySelector(`[style*="grid-row: ${n + 2}; grid-column: ${place(chosen) + 2}"]`)?.classList.add("sl-on");
  }

  function branching(lane) {
    const same = lane.request.model;
    const model = make(
      "select",
      { ariaLabel: "Go on with" },
      ...known.filter((m) => !m.reason).map((m) => make("option", { value: m.id, selected: m.id === same }, m.id)),
    );
    const words = make("input", { className: "sl-input", ariaLabel: "Prompt from here on", dir: "auto", value: lane.request.prompt });
    const noise = make("input", { className: "sl-input", ariaLabel: "Seed of the later noise", type: "number", min: 0, value: lane.seeds[chosen.picture] });
    const scale = make("input", { className: "sl-input", ariaLabel: "Guidance from here on", type: "number", min: 0, step: 0.5, placeholder: "its own" });
    const grow = make("button", { type: "button", className: "sl-small", onclick: go }, "Branch from here");
    async function go() {
      const changes = {};
      if (model.value !== same) changes.model = model.value;
      if (words.value.trim() !== lane.request.prompt) changes.prompt = words.value.trim();
      if (Number(noise.value) !== lane.seeds[chosen.picture]) changes.seed = Math.max(0, Math.floor(Number(noise.value)) || 0);
      if (scale.value !== "") changes.guidance = Number(scale.value);
      still.say("");
      const { lane: l, picture, step } = chosen;
      const answer = await still.call("branch", { lane: l, picture, step, changes });
      if (!answer) return;
      const mine = ++round;
      halt.disabled = false;
      await follow(await still.call("look_more", { after: cells.length }), mine);
    }
    return make(
      "details",
      { className: "sl-look-branch" },
      make("summary", {}, "Go on from this step"),
      field("Model", model),
      field("Prompt", words),
      field("Seed of the later noise", noise),
      field("Guidance", scale),
      grow,
    );
  }

  async function exported() {
    const kind = save.value;
    save.value = "";
    if (!kind) return;
    const answer = await still.call("look_export", { kind });
    if (answer) make("a", { href: answer.src, download: answer.name }).click();
  }

  /* Two small plots over the way from noise to picture, a line for each lane, its band around it. */
  function drawCurves() {
    const plots = [
      ["commitment", "How much of the final picture is there", "An early x0 of a base model is the mean of all pictures that may still come. Its blur counts as distance, so a late rise is not only a late decision."],
      ["spread", "How different the seeds are", "Root mean square distance between the seeds' x0, in latents. Blur brings means together: a low start is not only a lack of variety."],
    ];
    const made = plots.map(([key, title, note]) => {
      const lines = grid.lanes.filter((l) => l[key]).map((l) => ({ label: l.label, ...l[key] }));
      return lines.length ? plot(title, note, lines, key === "commitment" ? [0, 1] : null) : null;
    });
    curves.replaceChildren(...made.filter(Boolean));
  }

  function plot(title, note, lines, fixed) {
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
    const legend = lines.map((l, n) =>
      make("span", {}, make("i", { style: `background: var(${COLOURS[n % COLOURS.length]})` }), l.label),
    );
    return make(
      "figure",
      { className: "sl-look-plot" },
      make("figcaption", { title: note }, title, make("span", { className: "sl-look-why", ariaLabel: note }, " (why?)")),
      svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title }, ...marks, ...drawn),
      make("div", { className: "sl-look-legend" }, ...legend),
    );
  }

  /* Arrows walk the grid; Enter is the click that a focused cell has. */
  sheet.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Escape" && !large.hidden) return void ((chosen = null), (large.hidden = true), draw());
    if (!step || !cells.length) return;
    event.preventDefault();
    if (!chosen) return void open(cells[0]);
    const rows = grid.lanes.flatMap((lane, n) => lane.seeds.map((_, k) => [n, k]));
    const row = rows.findIndex(([n, k]) => n === chosen.lane && k === chosen.picture);
    const [n, k] = rows[Math.min(rows.length - 1, Math.max(0, row + step[0]))];
    const mine = cells.filter((c) => c.lane === n && c.picture === k).sort((a, b) => a.step - b.step);
    const near = step[0]
      ? mine.reduce((a, b) => (Math.abs(place(b) - place(chosen)) < Math.abs(place(a) - place(chosen)) ? b : a))
      : mine[Math.min(mine.length - 1, Math.max(0, mine.findIndex((c) => c.step === chosen.step) + step[1]))];
    open(near);
    sheet.focus();
  });

  async function begin() {
    const answer = await still.call("looked_at");
    if (!answer) return;
    known = answer.models;
    const can = new Map(known.filter((m) => !m.reason).map((m) => [m.id, m]));
    asked.models = asked.models.filter((x) => can.has(x.split(":")[0])).slice(0, MOST);
    if (!asked.models.length && can.size) asked.models = [...can.values()].slice(0, 2).map((m) => `${m.id}:${m.default_steps}`);
    vary.replaceChildren(
      make("option", { value: "" }, "nothing"),
      ...Object.entries(answer.fields).map(([name, help]) => make("option", { value: name, title: help, selected: name === asked.field }, name.replaceAll("_", " "))),
    );
    view.replaceChildren(...Object.entries(answer.views).map(([name, help]) => make("option", { value: name, selected: name === asked.view }, `${name}: ${help}`)));
    offer();
    look();
  }
  begin();
};
