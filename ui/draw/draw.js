"use strict";
/* Draw: a model paints on the drawing while it is made. The newest drawing wins, one call is under way at a time. */

still.parts.draw = (element, part) => {
  still.adopt(part);
  const { make } = still;
  const QUICK_MS = 260, // milliseconds; a faster model paints while the pen moves
    REST_MS = 250, // after the last stroke a slower one begins
    SENT = 256, // pixels on a side of the drawing that is sent
    HEAVY = 150_000; // characters of a PNG; what is more goes as WebP
  const COLOURS = ["#222222", "#ffffff", "#d3302f", "#e8862b", "#f2c52e", "#3f9a4d", "#3a6fd6", "#8b5cc4", "#e58fb1", "#7a5230", "#9aa0a6", "#7fcfe0"];
  const query = new URLSearchParams(location.search);
  const form = {
    prompt: query.get("prompt") ?? "a red mushroom",
    model: query.get("model") ?? "toybox-hyper",
    steps: Number(query.get("steps")) || 1,
    strength: Number(query.get("strength")) || 0.7,
    seed: Number(query.get("seed")) || 1,
    control_strength: Number(query.get("control_strength") ?? 1),
  };
  const READ = { auto: "as it looks", colours: "as colours", lines: "as lines", both: "as both" };
  let reads = query.get("reads") in READ ? query.get("reads") : "auto"; // how the drawing is read
  let known = [],
    dirty = false,
    moving = false, // while the pen is down, only one picture is painted
    rested = false, // once the newest drawing has its first picture, the other seeds follow
    released = 0, // time of the end of the last stroke, until its picture is there
    busy = false,
    mean = 100,
    timer = 0,
    ticket = 0,
    edits = 0, // changes so far of what is to be painted
    shown = null, // the pictures that stand beside the drawing
    before = null; // the pictures before them

  const canvas = still.canvas((done) => {
    if (done) released = performance.now();
    want(done);
    if (done) still.store.set("drawing", canvas.kept());
  });
  const { state } = canvas;

  /* Tools. */
  const button = (words, title, onclick, more = {}) => make("button", { type: "button", className: "sl-small", title, ariaLabel: title, onclick, ...more }, words);
  const toggles = [];
  const choice = (words, title, key, value, then = () => {}) => {
    const b = button(words, title, () => ((state[key] = value), press(), then()));
    toggles.push(() => (b.ariaPressed = String(state[key] === value)));
    return b;
  };
  const press = () => toggles.forEach((f) => f());
  const flip = (words, title, get, set) => {
    const b = button(words, title, () => (set(!get()), press()));
    toggles.push(() => (b.ariaPressed = String(get())));
    return b;
  };
  const inks = COLOURS.map((c) => {
    const b = button("", `Colour ${c}`, () => ink(c), { className: "sl-draw-ink", style: `background: ${c}` });
    toggles.push(() => (b.ariaPressed = String(state.colour === c)));
    return b;
  });
  const own = make("input", { type: "color", value: state.colour, ariaLabel: "Another colour", oninput: () => ink(own.value) });
  function ink(colour) {
    state.colour = own.value = colour;
    if (state.tool === "eraser") state.tool = "brush";
    press();
  }
  const size = make("input", { type: "range", min: 3, max: 90, value: state.size, ariaLabel: "Width of the brush", oninput: () => (state.size = Number(size.value)) });
  const tracing = make("input", { type: "range", min: 0, max: 100, value: 50, ariaLabel: "How much of the traced picture shows", hidden: true, oninput: () => (canvas.trace.style.opacity = tracing.value / 100) });
  const skin = make("input", { type: "range", min: 0, max: 100, value: 0, ariaLabel: "How much of the painted picture lies over the drawing", oninput: over });
  function over() {
    canvas.skin.hidden = !shown || skin.value === "0";
    canvas.skin.style.opacity = skin.value / 100;
    if (shown) canvas.skin.src = shown[0].src;
  }
  const file = (then) => {
    const input = make("input", { type: "file", accept: "image/*", onchange: () => input.files[0] && then(input.files[0]) });
    input.click();
  };
  function traced(blob) {
    canvas.trace.src = URL.createObjectURL(blob);
    canvas.trace.hidden = tracing.hidden = false;
    canvas.trace.style.opacity = tracing.value / 100;
  }
  const detector = make("select", { ariaLabel: "How the lines of a picture are found" });
  async function linesOf(blob) {
    const picture = await canvas.square(blob);
    if (!picture) return;
    const answer = await still.call("lines", { picture: sent(picture), detector: detector.value });
    if (!answer?.lines) return;
    const found = new Image();
    found.src = answer.lines;
    await found.decode();
    canvas.outline(found);
  }
  const tools = make(
    "div",
    { className: "sl-draw-tools", role: "toolbar", ariaLabel: "Drawing tools" },
    choice("Brush", "Brush (B)", "tool", "brush"),
    choice("Eraser", "Eraser (E)", "tool", "eraser"),
    choice("Fill", "Fill (F)", "tool", "fill"),
    choice("Colour", "Draw on the lower layer: areas of colour", "layer", "colour"),
    choice("Lines", "Draw on the upper layer: lines", "layer", "lines"),
    flip("Mirror", "Mirror every stroke (M)", () => state.mirror, (on) => (state.mirror = on)),
    flip("Grid", "Show a grid", () => !canvas.lattice.hidden, (on) => (canvas.lattice.hidden = !on)),
    button("Undo", "Undo (Ctrl+Z)", canvas.undo),
    button("Redo", "Redo (Ctrl+Shift+Z)", canvas.redo),
    button("Ground", "The brush's colour becomes the ground", () => canvas.ground(state.colour)),
    button("Clear", "Clear the drawing", canvas.clear),
    button("Outline", "The drawing becomes its lines, to draw on", () => canvas.outline()),
    button("Picture…", "Draw on a picture", () => file(canvas.place)),
    button("Trace…", "Show a picture to trace over; it is no part of the drawing", () => file(traced)),
    button("Lines of…", "The lines of a picture, to draw on", () => file(linesOf)),
    detector,
    button("Whole", "Show the whole drawing again", canvas.whole),
    button("Save", "The drawing as a PNG", () => make("a", { href: canvas.flat(512).toDataURL(), download: "drawing.png" }).click()),
  );

  /* What is painted. */
  const prompt = make("input", { className: "sl-input", id: "draw-prompt", ariaLabel: "Prompt", dir: "auto", value: form.prompt, oninput: () => ((form.prompt = prompt.value), want(true)) });
  const model = make("select", { ariaLabel: "Model", onchange: () => chosen(model.value) });
  const steps = make("select", { ariaLabel: "Steps", onchange: () => ((form.steps = Number(steps.value)), want(true)) });
  const strength = make("input", { type: "range", min: 0.05, max: 1, step: 0.01, value: form.strength, id: "draw-strength", ariaLabel: "How freely the drawing is read", oninput: () => ((form.strength = Number(strength.value)), (amount.textContent = strength.value), want(true)) });
  const amount = make("output", {}, String(form.strength));
  const reading = make("select", { id: "draw-reads", ariaLabel: "How the drawing is read", onchange: () => ((reads = reading.value), want(true)) });
  reading.append(...Object.entries(READ).map(([value, words]) => make("option", { value, selected: value === reads }, words)));
  const follow = make("input", { type: "range", min: 0, max: 2, step: 0.05, value: form.control_strength, id: "draw-follow", ariaLabel: "How closely the lines are followed", oninput: () => ((form.control_strength = Number(follow.value)), (followed.textContent = follow.value), want(true)) });
  const followed = make("output", {}, String(form.control_strength));
  const seeds = make("button", { type: "button", className: "sl-small", onclick: () => ((form.seed = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1), want(true)) }, "New seeds");
  const keep = make("button", { type: "button", className: "sl-go", id: "draw-keep", onclick: () => paint(true) }, "Keep");
  const large = make("img", { className: "sl-draw-large", alt: "", hidden: true }),
    strip = make("div", { className: "sl-draw-strip", role: "group", ariaLabel: "Other seeds" }),
    pace = make("p", { className: "sl-note", id: "draw-pace" });
  const flipped = button("A | B", "Hold to see the picture before this one", () => {}, {
    onpointerdown: () => before && (large.src = before[0].src),
    onpointerup: () => shown && (large.src = shown[0].src),
    onpointerleave: () => shown && (large.src = shown[0].src),
  });
  const back = button("To the canvas", "Draw on with this picture", async () => shown && canvas.place(await (await fetch(shown[0].src)).blob()));
  const field = (label, ...controls) => make("label", { className: "sl-draw-field" }, make("span", {}, label), ...controls);
  const ready = still.sketches.map((s) =>
    button(s.name, `Begin with ${s.name}`, () => {
      form.prompt = prompt.value = s.name;
      canvas.sketch(s);
    }),
  );
  element.replaceChildren(
    make(
      "div",
      { className: "sl-draw" },
      make("div", { className: "sl-draw-ask" }, prompt, keep),
      make("div", { className: "sl-draw-ready", role: "group", ariaLabel: "Sketches to begin with" }, ...ready),
      make(
        "div",
        { className: "sl-draw-body" },
        canvas.element,
        make("div", { className: "sl-draw-picture" }, large),
        make("div", { className: "sl-draw-side" }, tools, make("div", { className: "sl-draw-inks" }, ...inks, own, size), tracing),
        make(
          "div",
          { className: "sl-draw-side" },
          strip,
          make("div", { className: "sl-draw-fields" }, field("Model", model, steps), field("Read", reading), field("Freedom", strength, amount), field("Follow lines", follow, followed), field("Over the drawing", skin)),
          make("div", { className: "sl-acts" }, seeds, flipped, back),
          pace,
        ),
      ),
    ),
  );

  function chosen(id) {
    form.model = id;
    const row = known.find((m) => m.id === id);
    if (!row.steps.includes(form.steps)) form.steps = row.default_steps;
    steps.replaceChildren(...row.steps.map((n) => make("option", { value: n, selected: n === form.steps }, still.plural(n, "step"))));
    for (const control of [reading, follow]) {
      control.disabled = !row.follows;
      control.title = row.follows ? "" : `${id} has no control, so it follows no lines: it reads the drawing as colours.`;
    }
    mean = 100;
    want(true);
  }

  /* What the model gets of the drawing: a picture to begin with, lines to follow, or both; null for an empty sheet. */
  function parts() {
    const shown = canvas.shows();
    if (shown === "nothing") return null;
    const follows = known.find((m) => m.id === form.model).follows,
      as = !follows ? "colours" : reads === "auto" ? shown : reads;
    return {
      as,
      ...(as === "lines" ? {} : { drawing: sent(canvas.flat(SENT)) }),
      ...(as === "colours" ? {} : { lines: sent(shown === "lines" ? canvas.flat(SENT) : canvas.outlined(SENT)) }),
    };
  }

  /* The newest drawing: at once where the model is quick, else shortly after the last stroke. */
  function want(done) {
    edits += 1;
    again(done);
  }
  function again(done) {
    dirty = true;
    rested = false;
    moving = !done;
    clearTimeout(timer);
    if (busy) return;
    if (mean < QUICK_MS) return void paint();
    timer = setTimeout(paint, done ? REST_MS : 3 * REST_MS);
  }
  const sent = (sheet) => {
    const png = sheet.toDataURL();
    return png.length <= HEAVY ? png : sheet.toDataURL("image/webp", 0.92);
  };

  async function paint(keeping = false) {
    if (!form.prompt.trim()) return still.say("Type what the drawing shows.");
    if (busy && !keeping) return undefined;
    while (busy) await new Promise((f) => setTimeout(f, 20));
    dirty = false;
    const at = edits;
    const { as, ...drawn } = parts() ?? {};
    if (!as) return void (pace.textContent = "Draw something, then it is painted on.");
    busy = true;
    remember();
    const began = performance.now();
    const request = { ...form, strength: Math.min(1, Math.max(0.05, form.strength)), num_images: rested || keeping ? 4 : 1 };
    const answer = await still.call("draw", { ...drawn, request, ticket: ++ticket, keep: keeping });
    busy = false;
    const ms = performance.now() - began;
    if (answer?.pictures) {
      if (request.num_images === 1) mean = 0.6 * mean + 0.4 * ms;
      show(answer.pictures, at);
      if (rested) crisp(answer.pictures[0]);
      pace.textContent = `${still.plural(answer.pictures.length, "picture")} in ${Math.round(ms)} ms by ${form.model}, ${READ[as]}.`;
      still.say(keeping ? "4 pictures kept in the gallery." : "");
      if (keeping) still.emit("kept");
    }
    if (dirty) return void again(!moving);
    if (!moving && !rested && answer?.pictures) {
      rested = true;
      paint();
    }
    return undefined;
  }

  /* The picture at rest as large as Create shows it. */
  async function crisp(one) {
    const { enlarge } = known.find((m) => m.id === one.request.model);
    const answer = enlarge > 1 && (await still.call("large", { request: { ...one.request, enlarge } }));
    if (answer?.src && shown?.[0] === one) one.src = large.src = answer.src;
  }

  function show(pictures, at) {
    before = shown;
    shown = pictures;
    large.src = pictures[0].src;
    large.dataset.painted = at; // the changes that it shows
    large.alt = `${form.prompt}, painted on the drawing`;
    large.hidden = false;
    if (released && !moving) {
      const start = released;
      released = 0;
      large.decode().then(() => performance.measure("stroke", { start, end: performance.now() }), () => {});
    }
    if (pictures.length > 1) strip.replaceChildren(
      ...pictures.slice(1).map((p) =>
        make("button", { type: "button", ariaLabel: `Take seed ${p.request.seed}`, title: `seed ${p.request.seed}`, onclick: () => ((form.seed = p.request.seed), want(true)) }, make("img", { src: p.src, alt: "" })),
      ),
    );
    over();
  }

  function remember() {
    history.replaceState(null, "", `${location.pathname}?${new URLSearchParams({ ...form, reads })}`);
  }

  /* Keys, except while text is typed; and pictures that are dropped or pasted. */
  const KEYS = { KeyB: () => (state.tool = "brush"), KeyE: () => (state.tool = "eraser"), KeyF: () => (state.tool = "fill"), KeyM: () => (state.mirror = !state.mirror) };
  function key(e) {
    if (!element.isConnected || e.target.matches?.("input:not([type=range]), textarea, select")) return;
    if ((e.ctrlKey || e.metaKey) && e.code === "KeyZ") {
      e.preventDefault();
      (e.shiftKey ? canvas.redo : canvas.undo)();
    } else if (!e.ctrlKey && !e.metaKey && !e.altKey && KEYS[e.code]) {
      KEYS[e.code]();
      press();
    }
  }
  const dropped = (e) => {
    const blob = [...(e.dataTransfer ?? e.clipboardData).files].find((f) => f.type.startsWith("image/"));
    if (!blob || !element.isConnected) return;
    e.preventDefault();
    canvas.place(blob);
  };
  addEventListener("keydown", key);
  addEventListener("paste", dropped);
  element.addEventListener("dragover", (e) => e.preventDefault());
  element.addEventListener("drop", dropped);

  press();
  (async () => {
    const answer = await still.call("drawn_with");
    if (!answer) return;
    known = answer.models;
    detector.replaceChildren(...answer.detectors.map((d) => make("option", { value: d.name, disabled: Boolean(d.missing), title: d.missing ?? d.about }, d.name)));
    const able = known.filter((m) => !m.reason);
    model.replaceChildren(...known.map((m) => make("option", { value: m.id, disabled: Boolean(m.reason), title: m.reason ?? m.note }, m.id)));
    if (!able.some((m) => m.id === form.model)) form.model = able[0].id;
    model.value = form.model;
    const old = still.store.get("drawing");
    if (old) await canvas.bring(old).catch(() => canvas.sketch(still.sketches[0]));
    else canvas.sketch(still.sketches[0]);
    chosen(form.model);
  })();
};
