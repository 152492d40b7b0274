"use strict";
/* The Inspect page: the predicted picture of models at every step. Rows are models and seeds, columns are noise levels.

   Cells come while they are computed: one call waits a moment for the next ones. What is state for stands in the URL. */

still.parts.inspect = (element, part) => {
  still.adopt(part);
  const { make, plural } = still;
  const MOST = 4;
  const query = new URLSearchParams(location.search);
  const state = {
    prompt: query.get("prompt") ?? "a red mushroom",
    seed: Number(query.get("seed") ?? 1) || 0,
    seeds: Number(query.get("seeds") ?? 2) || 2,
    models: (query.get("models") ?? "toybox-sd:25,toybox-hyper:4,toybox-dmd2:4").split(",").filter(Boolean),
    field: query.get("field") ?? "",
    values: query.get("values") ?? "0, 1",
    view: query.get("view") ?? "x0",
  };
  const key = ({ lane, picture, step }) => `${lane}-${picture}-${step}`;
  let known = [],
    axes = {}, // what can be varied, by name: {help, values, group}
    cells = new Map(), // by key
    buttons = new Map(), // of the grid, by key of their cell
    after = 0, // of the server's log, what was read
    grid = { lanes: [], columns: [], log_snr: [] },
    chosen = null, // the cell in the close-up
    other = null, // the cell that it is compared with
    round = 0;

  const field = (label, control) => make("label", { className: "sl-look-field" }, make("span", {}, label), control);
  const prompt = make("input", { className: "sl-input", id: "inspect-prompt", ariaLabel: "Prompt", dir: "auto", value: state.prompt });
  const seed = make("input", { className: "sl-input", id: "inspect-seed", type: "number", min: 0, value: state.seed });
  const seeds = make("select", {}, ...[1, 2, 4].map((n) => make("option", { value: n, selected: n === state.seeds }, n)));
  const vary = make("select", { onchange: () => varies() });
  const values = make("input", { className: "sl-input", ariaLabel: "Values", value: state.values, hidden: !state.field });
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
      ["mp4", "Animation as MP4"],
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
  const large = still.lookLarge({
    step: (n) => open(cells.get(key({ ...chosen, step: n }))),
    back: () => open(cells.get(key(grid.lanes[chosen.lane].parent))),
    close,
    leave: () => sheet,
    grow,
  });
  const curves = make("div", { className: "sl-look-curves" });
  const tree = still.branches((n) => open(listed().find((c) => c.lane === n)));
  element.replaceChildren(make("div", { className: "sl-inspect" }, form, tree.element, make("div", { className: "sl-look-body" }, sheet, large.element), curves));

  /* Another field has other usual values. */
  function varies() {
    values.hidden = !vary.value;
    values.value = axes[vary.value]?.values ?? values.value;
  }

  const picked = () => state.models.map((m) => m.split(":")).map(([id, steps]) => ({ id, steps: Number(steps) }));

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
        const steps = counts(m, chosenIds.get(m.id));
        return make("span", { className: "sl-look-model" }, toggle, steps);
      }),
    );
  }

  /* A student was made for some counts; a base takes any, and has the usual ones to choose from. */
  function counts(m, now) {
    const onchange = ({ currentTarget: { value } }) => {
      state.models = state.models.map((x) => (x.split(":")[0] === m.id ? `${m.id}:${value}` : x));
      look();
    };
    const options = m.steps.map((n) => make("option", { value: n, selected: n === now }, m.any ? "" : plural(n, "step")));
    if (!m.any) return make("select", { ariaLabel: `Steps of ${m.id}`, onchange }, ...options);
    const list = make("datalist", { id: `steps-${m.id}` }, ...options);
    const number = make("input", { className: "sl-input", type: "number", min: 1, max: 100, value: now, ariaLabel: `Steps of ${m.id}`, title: "Any number from 1 to 100.", onchange });
    number.setAttribute("list", list.id);
    return make("span", { className: "sl-look-count" }, number, " steps", list);
  }

  function take(m) {
    const there = state.models.filter((x) => x.split(":")[0] !== m.id);
    if (there.length === state.models.length) {
      if (there.length === MOST) return still.say(`${MOST} models are enough to look into; take one away first.`);
      there.push(`${m.id}:${m.default_steps}`);
    }
    state.models = there;
    offer();
    return look();
  }

  function remember() {
    const { prompt: p, seed: s, seeds: n, models, field: f, values: v, view: w } = state;
    const fields = { prompt: p, seed: s, seeds: n, models: models.join(","), view: w, ...(f && { field: f, values: v }) };
    history.replaceState(null, "", `${location.pathname}?${new URLSearchParams(fields)}`);
  }

  async function look(event) {
    event?.preventDefault();
    state.prompt = prompt.value.trim();
    state.seed = Math.max(0, Math.floor(Number(seed.value)) || 0);
    state.seeds = Number(seeds.value);
    state.field = vary.value;
    state.values = values.value;
    seed.value = state.seed;
    if (!state.prompt) return still.say("Type a prompt to inspect.");
    if (!state.models.length) return still.say("Choose at least one model.");
    remember();
    still.say("");
    const numbers = state.values.split(",").map((v) => Number(v.trim()));
    if (state.field && numbers.some((v) => !Number.isFinite(v))) return still.say("Values are numbers with commas, such as 0, 1.", "error");
    const mine = ++round;
    go.disabled = true;
    halt.disabled = false;
    const answer = await still.call("look", { prompt: state.prompt, models: picked(), field: state.field, values: numbers, seed: state.seed, seeds: state.seeds, view: state.view });
    go.disabled = false;
    if (mine !== round) return undefined;
    if (!answer) return cells.size ? following("look_more") : void (halt.disabled = true); // the grid that was there stays
    cells = new Map();
    buttons = new Map();
    chosen = other = null;
    large.hide();
    return follow(answer, mine);
  }

  /* Adds cells as they come, until the grid is done. */
  async function follow(answer, mine) {
    while (answer && mine === round) {
      for (const c of answer.cells) cells.set(key(c), c);
      after = answer.after;
      grid = answer;
      draw();
      if (chosen && cells.get(key(chosen)) !== chosen) show(cells.get(key(chosen)), other && cells.get(key(other)));
      if (answer.failure) still.say(answer.failure, "error");
      if (!answer.working) break;
      answer = await still.call("look_more", { after });
    }
    if (mine === round) halt.disabled = true;
  }

  function stop() {
    still.call("look_stop");
    halt.disabled = true;
  }

  /* From now on another call follows the news, as one that waits could be told of cells that are no more. */
  function following(name, data) {
    const mine = ++round;
    halt.disabled = false;
    return still.call(name, { ...data, after }).then((answer) => follow(answer, mine));
  }

  function showView() {
    state.view = view.value;
    remember();
    return cells.size ? following("look_view", { view: state.view }) : undefined;
  }

  const listed = () => [...cells.values()];
  const row = (lane, picture) => listed().filter((c) => c.lane === lane && c.picture === picture).sort((a, b) => a.step - b.step);
  const place = (c) => grid.columns[c.lane]?.[stepsOf(c.lane).indexOf(c.step)] ?? 0;
  const stepsOf = (lane) => [...new Set(listed().filter((c) => c.lane === lane).map((c) => c.step))].sort((a, b) => a - b);

  function draw() {
    sheet.style.setProperty("--columns", Math.max(1, grid.log_snr.length));
    const heads = grid.log_snr.map((v, i) => make("span", { className: "sl-look-head", style: `grid-column: ${i + 2}` }, v.toFixed(1)));
    const corner = make("span", { className: "sl-look-head sl-look-label", title: "log of signal to noise: equal columns are equal noise" }, "log-SNR");
    const rows = [];
    let line = 2;
    grid.lanes.forEach((lane, n) => {
      lane.seeds.forEach((s, k) => {
        const words = make("span", { className: "sl-look-label", style: `grid-row: ${line}` }, make("b", {}, lane.label), ` seed ${s}`);
        const mine = row(n, k);
        rows.push(words, ...mine.map((c) => cell(c, line, lane, s)));
        line++;
      });
    });
    const held = document.activeElement;
    sheet.replaceChildren(corner, ...heads, ...rows);
    if (held !== document.activeElement && sheet.contains(held)) held.focus({ preventScroll: true });
    tree.draw(grid.lanes, chosen?.lane);
    drawCurves();
  }

  /* The address of the same picture on Create, where it can be kept with its whole history. */
  function address(lane) {
    const fields = Object.entries({ ...lane.request, seed: lane.seeds[chosen.picture], num_images: 1 });
    return `./?${new URLSearchParams(fields.filter(([name, value]) => value !== "" && name !== "width" && name !== "height"))}`;
  }

  /* A button is made once, so that a grid that grows decodes no picture again. */
  function cell(c, line, lane, s) {
    const own = buttons.get(key(c)) ?? make("button", { type: "button", id: `look-${key(c)}`, className: "sl-look-cell", tabIndex: -1, onclick: pick }, make("img", { alt: "" }));
    buttons.set(key(c), own);
    own.cell = c;
    own.style.cssText = `grid-row: ${line}; grid-column: ${place(c) + 2}`;
    own.ariaLabel = `${lane.label}, seed ${s}, step ${c.step + 1}`;
    own.title = `${c.model}, step ${c.step + 1}, t ${c.t.toFixed(2)}, log-SNR ${c.log_snr.toFixed(1)}`;
    own.classList.toggle("sl-on", Boolean(chosen) && key(chosen) === key(c));
    if (own.firstChild.src !== c.src) own.firstChild.src = c.src;
    return own;
  }

  function pick(event) {
    const { cell: c } = event.currentTarget;
    if (event.shiftKey && chosen) show(chosen, c);
    else open(c);
  }

  const open = (c) => c && show(c);

  function show(c, second = null) {
    const lane = grid.lanes[c.lane];
    chosen = c;
    other = second;
    large.show({ cell: c, other, lane, lanes: grid.lanes, steps: stepsOf(c.lane), address: address(lane), models: known });
    tree.draw(grid.lanes, c.lane);
    buttons.forEach((button, at) => button.classList.toggle("sl-on", at === key(c) || Boolean(second && at === key(second))));
    sheet.setAttribute("aria-activedescendant", `look-${key(c)}`);
  }

  function close() {
    chosen = other = null;
    large.hide();
    draw();
    sheet.focus();
  }

  async function grow({ lane, picture, step }, changes) {
    still.say("");
    const answer = await still.call("branch", { lane, picture, step, changes });
    if (answer) await following("look_more");
  }

  async function exported() {
    const kind = save.value;
    save.value = "";
    if (!kind) return;
    const answer = await still.call("look_export", { kind });
    if (answer) make("a", { href: answer.src, download: answer.name }).click();
  }

  /* Two plots from noise to picture, with a line and an error band for each lane. */
  function drawCurves() {
    const plots = [
      ["commitment", "How much of the final picture is there", "An early x0 of a base model is the mean of all pictures that may still come. Its blur counts as distance, so a late rise is not only a late decision."],
      ["spread", "How different the seeds are", "Root mean square distance between the seeds' x0, in latents. Blur brings means together: a low start is not only a lack of variety."],
    ];
    const made = plots.map(([key, title, note]) => {
      const lines = grid.lanes.filter((l) => l[key]).map((l) => ({ label: l.label, ...l[key] }));
      return lines.length ? still.plot(title, note, lines, key === "commitment" ? [0, 1] : null) : null;
    });
    curves.replaceChildren(...made.filter(Boolean));
  }

  /* Arrows walk the grid, with Shift the second cell of a wipe. */
  sheet.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Escape" && chosen) return close();
    if (event.key.toLowerCase() === "f" && chosen && !event.ctrlKey && !event.metaKey) return large.full(true);
    if (!step || !cells.size) return undefined;
    event.preventDefault();
    if (!chosen) return open(listed()[0]);
    const from = (event.shiftKey && other) || chosen;
    const rows = grid.lanes.flatMap((lane, n) => lane.seeds.map((_, k) => [n, k]));
    const line = rows.findIndex(([n, k]) => n === from.lane && k === from.picture);
    const [n, k] = rows[Math.min(rows.length - 1, Math.max(0, line + step[0]))];
    const mine = row(n, k);
    const near = step[0]
      ? mine.reduce((a, b) => (Math.abs(place(b) - place(from)) < Math.abs(place(a) - place(from)) ? b : a))
      : mine[Math.min(mine.length - 1, Math.max(0, mine.findIndex((c) => c.step === from.step) + step[1]))];
    if (event.shiftKey) show(chosen, near);
    else open(near);
    return sheet.focus();
  });

  async function begin() {
    const answer = await still.call("looked_at");
    if (!answer) return;
    known = answer.models;
    const can = new Map(known.filter((m) => !m.reason).map((m) => [m.id, m]));
    state.models = state.models.filter((x) => can.has(x.split(":")[0])).slice(0, MOST);
    if (!state.models.length && can.size) state.models = [...can.values()].slice(0, 2).map((m) => `${m.id}:${m.default_steps}`);
    axes = answer.fields;
    if (state.field && !axes[state.field]) axes[state.field] = { help: "a slider between two words", values: state.values, group: "Sliders" };
    const axis = ([name, { help }]) => make("option", { value: name, title: help, selected: name === state.field }, name.replaceAll("_", " "));
    const [fields, sliders] = ["", "Sliders"].map((name) => Object.entries(axes).filter(([, { group }]) => group === name));
    vary.replaceChildren(make("option", { value: "" }, "nothing"), ...fields.map(axis), make("optgroup", { label: "Sliders" }, ...sliders.map(axis)));
    for (const option of save.options) {
      const reason = answer.missing[option.value];
      if (reason) Object.assign(option, { disabled: true, textContent: `${option.textContent}: ${reason}` });
    }
    view.replaceChildren(...Object.entries(answer.views).map(([name, help]) => make("option", { value: name, selected: name === state.view }, `${name}: ${help}`)));
    offer();
    look();
  }
  begin();
};
