"use strict";
/* Compare: the same words and seed by several models. What is chosen stands in the URL, so a link shows the same. */

still.parts.compare = (element, part) => {
  still.adopt(part);
  const { make, plural } = still;
  const MOST = 6;
  const query = new URLSearchParams(location.search);
  const state = {
    prompt: query.get("prompt") ?? "a red mushroom",
    seed: Number(query.get("seed") ?? 1) || 0,
    models: [], // [{id, steps}]
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
  const go = make("button", { className: "sl-go", id: "compare-go" }, "Paint");
  const form = make("form", { className: "sl-acts sl-asked", onsubmit: paint }, prompt, seed, go);
  const chips = make("div", { className: "sl-picks", role: "group", ariaLabel: "Models" });
  const trios = make("div", { className: "sl-trios", role: "group", ariaLabel: "Base, fast and hybrid", hidden: true });
  const table = make("div", { className: "sl-columns" });
  element.replaceChildren(make("div", { className: "sl-comparison" }, form, chips, trios, table));

  /* A model may stand there twice, with different steps, or with its base in the first of them. */
  function add(model, steps = model.default_steps, base = 0) {
    if (state.models.length === MOST) return still.say(`${MOST} columns are enough to compare; take one away first.`);
    const entry = { id: model.id, steps, base: model.hybrid && steps > base ? base : 0 };
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
    const name = entry.base ? `${model.id}, first step by ${model.hybrid.base}` : model.id;
    const tile = make("figure", { className: "sl-tile sl-empty" });
    const time = make("b", { className: "sl-time" }, "–");
    return make(
      "section",
      { className: "sl-column", data: { model: model.id } },
      tile,
      make(
        "h2",
        {},
        name,
        make("button", { className: "sl-away", ariaLabel: `Take ${name} away`, onclick: () => remove(entry) }, "×"),
      ),
      make("p", { className: "sl-facts" }, time, steps),
      make("p", { className: "sl-note" }, `${model.size}. ${model.note}`),
    );
  }

  function remember() {
    const models = state.models.map((m) => `${m.id}:${m.steps}${m.base ? `~${m.base}` : ""}`).join(",");
    history.replaceState(null, "", `${location.pathname}?${new URLSearchParams({ prompt: state.prompt, seed: state.seed, models })}`);
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
    if (!event?.quiet) still.say(""); // what was wrong with a link stays
    const mine = ++round;
    if (ticket) still.call("stop", { ticket });
    for (const entry of state.models) {
      const place = entry.column;
      place.querySelector(".sl-tile").classList.add("sl-stale");
      const { id, steps, base } = entry;
      const request = { prompt: state.prompt, seed: state.seed, model: id, steps, base_steps: base, num_images: 1 };
      // Twice: the first time pays for loading and for the switch from another model, the second is the model's own.
      for (const own of [false, true]) {
        const answer = await still.call("paint", { request, first: 0, count: 1, keep: false, ticket: ++ticket });
        if (mine !== round) return undefined;
        if (!answer?.pictures) break;
        show(place, answer, own);
      }
    }
    return undefined;
  }

  function show(place, answer, own) {
    const tile = place.querySelector(".sl-tile"),
      [picture] = answer.pictures;
    tile.className = "sl-tile";
    tile.replaceChildren(make("img", { src: picture.src, alt: `${state.prompt}, ${place.dataset.model}` }));
    const ms = answer.text_ms + answer.denoise_ms + answer.decode_ms;
    const time = place.querySelector(".sl-time");
    if (!own) return void (time.textContent = "…");
    time.textContent = `${Math.round(ms).toLocaleString("en")} ms`;
    time.title = `text ${answer.text_ms} ms, denoiser ${answer.denoise_ms} ms, decode ${answer.decode_ms} ms`;
  }

  async function begin() {
    const answer = await still.call("models");
    if (!answer) return;
    known = answer.models;
    const can = known.filter((m) => !m.reason);
    const wished = (query.get("models") ?? "").split(",").filter(Boolean);
    offer();
    for (const wish of wished.length ? wished.slice(0, MOST) : can.slice(0, 4).map((m) => m.id)) {
      const [id, steps, base] = wish.split(/[:~]/),
        model = can.find((m) => m.id === id);
      if (!model) still.say(`${id} can't be compared here; the models that can are below the prompt.`, "error");
      else add(model, model.steps.includes(Number(steps)) ? Number(steps) : model.default_steps, Number(base) === 1 ? 1 : 0);
    }
    await paint({ quiet: true });
  }
  begin();
};
