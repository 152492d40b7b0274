"use strict";
/* Sliders and LoRAs beside the prompt. Dragging one changes the request, and the wall follows.

   They are two fields of the request, lists of NAME:STRENGTH@PHASE; what stands at 0 is left out of the first. */

still.stack = {
  read: (text) =>
    (text ?? "")
      .split(",")
      .map((entry) => entry.trim())
      .filter(Boolean)
      .map((entry) => {
        const [, name, strength, phase] = /^([^:@]+?)\s*(?::\s*([^@]+?))?\s*(?:@\s*(\S+))?$/.exec(entry) ?? [];
        return { name, strength: Number(strength ?? 1), phase: phase ?? "all" };
      }),
  write: (entries) =>
    entries
      .map(({ name, strength, phase }) => `${name}:${Number(strength.toFixed(2))}${phase === "all" ? "" : `@${phase}`}`)
      .join(", "),
};

still.parts.sliders = (element, part) => {
  const { make, stack } = still;
  still.adopt(part);
  const PHASES = { all: "at all steps", structure: "at the noisy steps", detail: "at the last steps" };
  const own = { sliders: [], loras: [] }; // names of rows that a person added
  const rows = make("div", { className: "sl-sliders" }),
    worn = make("div", { className: "sl-sliders" });
  const words = make("input", { id: "slider-words", placeholder: "plain/striped", ariaLabel: "Two words for a slider", maxLength: 80 });
  const add = make("button", { type: "submit", className: "sl-quiet", id: "slider-add" }, "Slide between two words");
  const pick = make("select", { id: "lora-pick", ariaLabel: "Add a LoRA" });
  const phase = make("select", { id: "slider-phase", ariaLabel: "At which steps" });
  phase.append(...Object.entries(PHASES).map(([value, text]) => make("option", { value }, text)));
  const none = make("p", { className: "sl-knob-note", id: "lora-note" });
  const learn = make("button", { type: "button", className: "sl-quiet", id: "slider-train", title: "A small LoRA learns the way from the first word to the second, in minutes.", onclick: train }, "Train one");
  element.replaceChildren(
    make("div", { className: "sl-knob" }, make("span", { className: "sl-label" }, "Sliders"), phase),
    rows,
    make("form", { className: "sl-knob-acts", onsubmit: (e) => (e.preventDefault(), between()) }, words, add, learn),
    make("div", { className: "sl-knob" }, make("span", { className: "sl-label" }, "LoRAs"), pick),
    worn,
    none,
    still.sliderSets((request) => able(still.model, request)),
  );

  const entry = (field, name) => stack.read(still.request[field]).find((one) => one.name === name);

  function put(field, name, strength, stays) {
    const others = stack.read(still.request[field]).filter((one) => one.name !== name);
    const here = entry(field, name) ?? { name, phase: phase.value };
    if (strength || stays) others.push({ ...here, strength });
    still.set({ [field]: stack.write(others) });
  }

  function knob(field, { name, low, high, from, to, trained, own: mine }, ends) {
    const strength = entry(field, name)?.strength ?? 0;
    const id = `${field}-${name.replace("/", "-")}`;
    const input = make("input", { type: "range", id, min: -ends, max: ends, step: 0.1, value: strength, ariaLabel: name });
    const value = make("output", { className: "sl-knob-value", htmlFor: id }, String(strength));
    const range = make("i", { className: "sl-range" });
    input.addEventListener("input", () => put(field, name, Number(input.value), field === "loras"));
    if (to > from) {
      const at = (units) => `${(100 * (Math.max(-ends, Math.min(ends, units)) + ends)) / (2 * ends)}%`;
      range.style.setProperty("--from", at(from));
      range.style.setProperty("--to", at(to));
      input.title = `On ${still.model.id} from ${from} to ${to}; beyond that pictures break.`;
    }
    const drop = make("button", { type: "button", className: "sl-link", ariaLabel: `Remove ${name}`, onclick: () => away(field, name) }, "×");
    return make(
      "div",
      { className: "sl-slider", data: { name } },
      make("label", { htmlFor: id, title: trained ? "A LoRA that was trained for this" : "" }, low ? `${low} – ${high}` : name, ...(trained ? [make("small", {}, mine ? name : "trained")] : [])),
      value,
      input,
      ...(to > from ? [range] : []),
      ...(mine ? [make("button", { type: "button", className: "sl-link", ariaLabel: `Share ${name}`, title: "The slider as one file", onclick: () => share(name) }, "↓")] : []),
      ...(low && !own.sliders.includes(name) ? [] : [drop]),
    );
  }

  function away(field, name) {
    own[field] = own[field].filter((other) => other !== name);
    put(field, name, 0, false);
    show(true);
  }

  /* The two words that were typed, as one name; "" where they are no two words. */
  function typed() {
    const [low, high, ...rest] = words.value.split(/[\s/]+/).filter(Boolean);
    if (high && !rest.length) return `${low}/${high}`;
    still.say("Two words make a slider, such as plain/striped.", "error");
    return "";
  }

  function between() {
    const name = typed();
    if (!name) return;
    own.sliders = [...new Set([...own.sliders, name])];
    words.value = "";
    show(true);
  }

  /* A training is a job; its page shows strips of before and after, and publishes the slider. */
  async function train() {
    const name = typed();
    const answer = name && (await still.call("train_slider", { words: name, model: still.model.id }));
    if (answer) location.assign(`./jobs?id=${answer.id}`);
  }

  async function share(name) {
    const answer = await still.call("share_slider", { name });
    if (answer) make("a", { href: answer.src, download: answer.name }).click();
  }

  pick.addEventListener("change", () => {
    const name = pick.value;
    own.loras = [...new Set([...own.loras, name])];
    put("loras", name, 1, true);
    show(true);
  });

  phase.addEventListener("change", () => {
    const moved = Object.fromEntries(
      ["sliders", "loras"].map((field) => [
        field,
        stack.write(stack.read(still.request[field]).map((one) => ({ ...one, phase: phase.value }))),
      ]),
    );
    still.set(moved);
  });

  /* Rows are drawn anew only where others are there, so that a knob stays in the hand that drags it. */
  let drawn = "";
  function show(anew = false) {
    const model = still.model,
      { sliders = [], loras = [] } = model;
    const active = { sliders: stack.read(still.request.sliders), loras: stack.read(still.request.loras) };
    const known = sliders.map((one) => one.name);
    const more = [...new Set([...own.sliders, ...active.sliders.map((one) => one.name)])].filter((name) => !known.includes(name));
    const added = [...new Set([...own.loras, ...active.loras.map((one) => one.name)])].filter((name) => loras.includes(name));
    const shape = JSON.stringify([model.id, known, more, added, loras]);
    if (anew || shape !== drawn) {
      drawn = shape;
      const pairs = more.map((name) => ({ name, low: name.split("/")[0], high: name.split("/")[1] ?? "" }));
      own.sliders = [...new Set([...own.sliders, ...more])];
      rows.replaceChildren(...[...sliders, ...pairs].map((one) => knob("sliders", one, 3)));
      worn.replaceChildren(...added.map((name) => knob("loras", { name }, 2)));
      const rest = loras.filter((name) => !added.includes(name));
      pick.replaceChildren(make("option", { value: "" }, "add one …"), ...rest.map((value) => make("option", { value }, value)));
      pick.disabled = !rest.length;
      none.textContent = loras.length ? "" : `There is no LoRA for ${model.id} yet.`;
    }
    for (const field of ["sliders", "loras"]) {
      for (const row of (field === "sliders" ? rows : worn).children) {
        const strength = active[field].find((one) => one.name === row.dataset.name)?.strength ?? 0;
        row.querySelector("output").textContent = strength.toFixed(2).replace(/\.?0+$/, "");
        const input = row.querySelector("input");
        if (input !== document.activeElement) input.value = strength;
      }
    }
    phase.value = [...active.sliders, ...active.loras][0]?.phase ?? phase.value;
  }

  /* What of these fields a model can obey. */
  function able({ sliders = [], loras = [] }, request) {
    const known = (name) => name.includes("/") || sliders.some((one) => one.name === name);
    return {
      sliders: stack.write(stack.read(request.sliders).filter((one) => known(one.name))),
      loras: stack.write(stack.read(request.loras).filter((one) => loras.includes(one.name))),
    };
  }

  /* The next model takes over what it can obey. */
  still.on("switched", (request) => Object.assign(request, able(still.model, still.request)));
  still.on("request", () => show());
  still.on("model", () => show());
  show();
};
