"use strict";
/* Compare: one prompt and its seeds with several models, or with one at several step counts, guidance scales or strengths of
   a slider. The choices are in the URL, so a link shows the same. A picture can be opened, kept, and taken to Create. */

still.parts.compare = (element, part) => {
  still.adopt(part);
  const { make, plural } = still;
  const MOST = 7;
  const STRIP = [-3, -2, -1, 0, 1, 2, 3]; // units of a slider
  const query = new URLSearchParams(location.search);
  const state = {
    prompt: query.get("prompt") ?? "a red mushroom",
    seed: Number(query.get("seed") ?? 1) || 0,
    seeds: Math.min(4, Math.max(1, Number(query.get("seeds")) || 1)), // pictures in a column, each with the next seed
    models: [], // [{model, id, steps, base, guidance, sliders}]
  };
  let known = [],
    ticket = 0,
    round = 0;

  const prompt = make("input", { className: "sl-input", id: "compare-prompt", ariaLabel: "Prompt", value: state.prompt });
  const seed = make("input", {
    className: "sl-input",
    id: "compare-seed",
    ariaLabel: "Seed",
    type: "number",
    min: 0,
    max: 2 ** 31 - 1,
    step: 1,
    value: state.seed,
  });
  const many = make(
    "select",
    { className: "sl-select", id: "compare-seeds", ariaLabel: "Pictures of each", onchange: () => ((state.seeds = Number(many.value)), redraw()) },
    ...[1, 2, 3, 4].map((n) => make("option", { value: n, selected: n === state.seeds }, plural(n, "seed"))),
  );
  const axis = make("select", { className: "sl-select", id: "compare-axis", ariaLabel: "Columns", onchange: spread });
  const go = make("button", { className: "sl-go", id: "compare-go" }, "Paint");
  const save = make("button", { type: "button", className: "sl-small", id: "compare-save", onclick: () => sheet() }, "Save as PNG");
  const form = make("form", { className: "sl-acts sl-asked", onsubmit: paint }, prompt, seed, many, go);
  const chips = make("div", { className: "sl-picks", role: "group", ariaLabel: "Models" });
  const trios = make("div", { className: "sl-trios", role: "group", ariaLabel: "Base, fast and hybrid", hidden: true });
  const table = make("div", { className: "sl-columns" });
  element.replaceChildren(make("div", { className: "sl-comparison" }, form, chips, trios, make("div", { className: "sl-acts" }, axis, save), table), ...still.closeup.dialogs);

  /* A model may be chosen twice, with different steps, or with its base in the first step. */
  function add(model, steps = model.default_steps, base = 0, guidance = null, sliders = "") {
    if (state.models.length === MOST) return still.say(`${MOST} columns are enough to compare; take one away first.`);
    const entry = { model, id: model.id, steps, base: model.hybrid && steps > base ? base : 0, guidance, sliders };
    entry.column = column(entry, model);
    state.models.push(entry);
    return arrange();
  }

  function remove(entry) {
    state.models = state.models.filter((m) => m !== entry);
    arrange();
  }

  function arrange() {
    table.replaceChildren(...state.models.map((m) => m.column));
    table.style.setProperty("--columns", Math.max(1, state.models.length));
    remember();
  }

  function offer() {
    const chip = (model) =>
      make(
        "button",
        {
          type: "button",
          className: "sl-small",
          disabled: Boolean(model.reason),
          title: model.reason ?? model.note,
          onclick: () => (add(model), paint()),
        },
        `+ ${model.id}`,
      );
    chips.replaceChildren(...known.map(chip));
    const three = known.filter((model) => !model.reason && model.hybrid);
    trios.hidden = !three.length;
    trios.replaceChildren(
      make("span", { className: "sl-note" }, "Base | fast | hybrid, which is the fast one with its base in the first step:"),
      ...three.map((model) => make("button", { type: "button", className: "sl-small", onclick: () => trio(model) }, model.id)),
    );
  }

  /* One model along its steps, its guidance or a slider, in place of what is there. */
  function axes() {
    const ways = state.models.filter((m, k, all) => all.findIndex((other) => other.id === m.id) === k).map(({ id, model }) => {
      const [low, high] = model.guidance;
      return make(
        "optgroup",
        { label: id },
        ...(model.steps.length > 1 ? [make("option", { value: `steps ${id}` }, `Steps of ${id}`)] : []),
        ...(low < high ? [make("option", { value: `guidance ${id}` }, `Guidance of ${id}`)] : []),
        ...model.sliders.map((one) => make("option", { value: `slider ${id} ${one.name}` }, `${one.low} – ${one.high} of ${id}`)),
      );
    });
    axis.replaceChildren(make("option", { value: "" }, "Columns: models"), ...ways);
  }

  function spread() {
    const [what, id, slider] = axis.value.split(" "),
      model = known.find((m) => m.id === id);
    if (!model) return undefined;
    state.models = [];
    const [low, high] = model.guidance;
    if (what === "slider") STRIP.forEach((units) => add(model, model.default_steps, 0, null, `${slider}:${units}`));
    else if (what === "steps") model.steps.slice(0, MOST).forEach((n) => add(model, n));
    else [0, 1, 2, 3].forEach((k) => add(model, model.default_steps, 0, Number((low + ((high - low) * k) / 3).toFixed(1))));
    return paint();
  }

  /* Columns anew, for another number of pictures in each. */
  function redraw() {
    for (const entry of state.models) entry.column = column(entry, entry.model);
    arrange();
    paint();
  }

  function sheet() {
    const columns = state.models.map(({ column }) => ({
      title: column.querySelector("h2").firstChild.textContent,
      facts: [column.querySelector("select").selectedOptions[0].textContent, column.querySelector(".sl-time").textContent].join(", "),
      images: [...column.querySelectorAll("img")],
    }));
    if (!columns.some(({ images }) => images.length)) return still.say("There is no picture to save yet.");
    return still.comparedSheet({ prompt: `${state.prompt}, seed ${state.seed}`, columns });
  }

  function trio(model) {
    const base = known.find((m) => m.id === model.hybrid.base);
    state.models = [];
    add(base);
    add(model, model.hybrid.steps);
    add(model, model.hybrid.steps, 1);
    return paint();
  }

  function column(entry, model) {
    const steps = make(
      "select",
      { ariaLabel: `Steps of ${model.id}`, onchange: () => ((entry.steps = Number(steps.value)), remember(), paint()) },
      ...model.steps
        .filter((n) => n > entry.base)
        .map((n) => make("option", { value: n, selected: n === entry.steps }, plural(n, "step"))),
    );
    const base = entry.base ? `, first step by ${model.hybrid.base}` : "";
    const name = [`${model.id}${base}`, entry.guidance === null ? "" : `guidance ${entry.guidance}`, entry.sliders.replace(":", " ")].filter(Boolean).join(", ");
    const tiles = Array.from({ length: state.seeds }, () => make("figure", { className: "sl-tile sl-empty" }));
    const time = make("b", { className: "sl-time" }, "–");
    return make(
      "section",
      { className: "sl-column", data: { model: model.id }, style: `--rows: ${tiles.length + 4}` },
      make(
        "h2",
        {},
        name,
        make("button", { className: "sl-away", ariaLabel: `Take ${name} away`, onclick: () => remove(entry) }, "×"),
      ),
      make("p", { className: "sl-facts" }, time, steps),
      ...tiles,
      make("p", { className: "sl-note" }, [model.good_for, model.size].filter(Boolean).join(" · ")),
      make("details", { className: "sl-details" }, make("summary", {}, "Details"), make("p", { className: "sl-note" }, model.note)),
    );
  }

  function remember() {
    const models = state.models
      .map((m) => `${m.id}:${m.steps}${m.base ? `~${m.base}` : ""}${m.guidance === null ? "" : `@${m.guidance}`}${m.sliders && `!${m.sliders}`}`)
      .join(",");
    const seeds = state.seeds > 1 ? { seeds: state.seeds } : {};
    const query = new URLSearchParams({ prompt: state.prompt, seed: state.seed, ...seeds, models });
    history.replaceState(history.state, "", `${location.pathname}?${query}`);
    axes();
  }

  /* One model after the other, so that their times can be compared; a newer round ends an older one. */
  async function paint(event) {
    event?.preventDefault?.();
    state.prompt = prompt.value.trim();
    state.seed = Math.max(0, Math.floor(Number(seed.value)) || 0);
    seed.value = state.seed;
    if (!state.prompt) return still.say("Type what you want to see.");
    if (!state.models.length) return still.say("Choose at least one model.");
    remember();
    if (!event?.quiet) still.say(""); // a message about the link stays
    const mine = ++round;
    if (ticket) still.call("stop", { ticket });
    for (const entry of state.models) {
      const place = entry.column;
      const tiles = [...place.querySelectorAll(".sl-tile")];
      tiles.forEach((tile) => tile.classList.add("sl-stale"));
      entry.pictures = [];
      const { id, steps, base, guidance, sliders } = entry;
      const request = { prompt: state.prompt, seed: state.seed, model: id, steps, base_steps: base, sliders, num_images: state.seeds, enlarge: entry.model.enlarge };
      if (guidance !== null) request.guidance = guidance;
      // The first picture twice: its first time includes loading and the switch from another model; the second is the model's own.
      for (const [first, own] of [[0, false], ...tiles.map((_, k) => [k, k === 0])]) {
        const answer = await still.call("paint", { request, first, count: 1, keep: false, ticket: ++ticket });
        if (mine !== round) return undefined;
        if (!answer?.pictures) break;
        show(entry, first, answer.pictures[0]);
        if (first === 0) time(place, answer, own);
      }
    }
    // Large pictures for the close-up, once all times are measured.
    state.models.flatMap((m) => m.pictures).forEach((picture) => still.enlarge.add(picture, () => true));
    return undefined;
  }

  function show(entry, k, picture) {
    entry.pictures[k] = picture;
    const open = () => still.emit("open", { pictures: entry.pictures, index: k });
    const image = make("img", { src: picture.src, alt: `${picture.text ?? state.prompt}, ${entry.id}, seed ${picture.request.seed}` });
    const tile = make("button", { type: "button", className: "sl-look-closer", title: "Look closer", onclick: open }, image);
    const figure = entry.column.querySelectorAll(".sl-tile")[k];
    figure.className = "sl-tile";
    figure.replaceChildren(tile);
  }

  function time(place, answer, own) {
    const ms = answer.text_ms + answer.denoise_ms + answer.decode_ms;
    const time = place.querySelector(".sl-time");
    if (!own) return void (time.textContent = "…");
    time.textContent = `${Math.round(ms).toLocaleString("en")} ms`;
    time.title = `text ${answer.text_ms} ms, denoiser ${answer.denoise_ms} ms, decode ${answer.decode_ms} ms`;
  }

  const within = ({ guidance: [low, high] }, text) => (text && Number(text) >= low && Number(text) <= high ? Number(text) : null);

  async function begin() {
    const answer = await still.call("models");
    if (!answer) return;
    known = answer.models;
    const can = known.filter((m) => !m.reason);
    const wished = (query.get("models") ?? "").split(",").filter(Boolean);
    offer();
    for (const wish of wished.length ? wished.slice(0, MOST) : can.slice(0, 4).map((m) => m.id)) {
      const [, id, steps, base, guidance, sliders] = /^([^:~@!]*):?(\d*)~?(\d*)@?([\d.]*)!?(.*)$/.exec(wish) ?? [null, wish],
        model = can.find((m) => m.id === id);
      if (!model) still.say(`${id} can't be compared here; the models that can are below the prompt.`, "error");
      else add(model, model.steps.includes(Number(steps)) ? Number(steps) : model.default_steps, Number(base) === 1 ? 1 : 0, within(model, guidance), sliders);
    }
    await paint({ quiet: true });
  }
  begin();
};
