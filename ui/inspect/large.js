"use strict";
/* The close-up of a cell of Inspect, beside the grid or as large as the window: a slider over the row's steps, a second
   cell to compare with, and the form of a branch. `page` has what the grid does: step, back, close, leave and grow. */

still.lookLarge = (page) => {
  const { make } = still;
  const element = make("dialog", { className: "sl-look-large", ariaLabel: "Close-up", onkeydown: keys, onclose: () => view && !element.open && page.close() });
  let view = null, // {cell, other, lane, lanes, steps, address, models} of what stands there
    growing = false; // whether the form of a branch is open

  const whole = () => element.matches(":modal");
  const scrubber = () => element.querySelector("[aria-label=Step]");
  const small = (words, onclick, more = {}) => make("button", { type: "button", className: "sl-small", onclick, ...more }, words);

  function keys(event) {
    if (event.key !== "Escape") return;
    event.preventDefault();
    away();
  }

  /* One step back: from the window's size to the place beside the grid, from there to nothing. */
  function away() {
    if (whole()) full(false);
    else page.close();
  }

  function full(on) {
    element.close();
    if (on) element.showModal();
    else element.open = true;
    draw();
    (on ? scrubber() : element.querySelector(".sl-look-full")).focus();
  }

  function show(next) {
    view = next;
    const held = element.contains(document.activeElement) ? document.activeElement : null;
    if (!element.open) element.open = true;
    draw();
    if (held) (same(held) ?? (whole() ? scrubber() : page.leave())).focus();
  }

  function hide() {
    view = null;
    element.close();
  }

  /* What stands there now where this stood before. */
  const name = (e) => e.ariaLabel || e.textContent;
  const same = (held) => [...element.querySelectorAll("button, input, select, a, summary")].find((e) => name(e) === name(held));

  function draw() {
    const { cell, other, lane, steps, address } = view;
    const scrub = make("input", {
      type: "range",
      min: 0,
      max: steps.length - 1,
      value: steps.indexOf(cell.step),
      ariaLabel: "Step",
      oninput: () => page.step(steps[Number(scrub.value)]),
    });
    const picture = make("div", { className: "sl-look-picture", onclick: () => whole() || full(true) }, make("img", { src: cell.src, alt: `step ${cell.step + 1}` }));
    element.replaceChildren(
      make("button", { type: "button", className: "sl-away", ariaLabel: whole() ? "Small again" : "Close", title: "Esc", onclick: away }, "×"),
      picture,
      ...(other ? wiping(picture, cell, other) : []),
      scrub,
      make("p", { className: "sl-facts" }, `${cell.model}, step ${cell.step + 1} of ${lane.request.steps}, t ${cell.t.toFixed(2)}, log-SNR ${cell.log_snr.toFixed(1)}`),
      ...(whole() ? [] : [make("p", { className: "sl-note" }, "Shift and a click, or an arrow, wipes between this cell and another.")]),
      make(
        "div",
        { className: "sl-picks" },
        small(whole() ? "Beside the grid" : "Full size", () => full(!whole()), { className: "sl-small sl-look-full", title: "F" }),
        lane.parent ? small("Back to where it branched", page.back) : null,
        make("a", { className: "sl-small", href: address }, "Paint on Create"),
      ),
      branching(),
    );
  }

  const words = (c) => `${view.lanes[c.lane].label}, seed ${view.lanes[c.lane].seeds[c.picture]}, step ${c.step + 1}`;

  /* The other cell lies over this one, to the left of the line that the slider moves. */
  function wiping(picture, cell, other) {
    const top = make("img", { src: other.src, alt: `compared with step ${other.step + 1}`, className: "sl-look-over" });
    const wipe = make("input", { type: "range", min: 0, max: 100, value: 50, ariaLabel: "Wipe", oninput: () => (top.style.clipPath = `inset(0 ${100 - wipe.value}% 0 0)`) });
    top.style.clipPath = "inset(0 50% 0 0)";
    picture.append(top);
    return [wipe, make("p", { className: "sl-note" }, `Left: ${words(other)}. Right: ${words(cell)}.`)];
  }

  const field = (label, control) => make("label", { className: "sl-look-field" }, make("span", {}, label), control);

  function branching() {
    const { lane, cell, models } = view,
      own = lane.request.model,
      seed = lane.seeds[cell.picture];
    const model = make("select", { ariaLabel: "Go on with" }, ...models.filter((m) => !m.reason && m.kin.includes(own)).map((m) => make("option", { value: m.id, selected: m.id === own }, m.id)));
    const prompt = make("input", { className: "sl-input", ariaLabel: "Prompt from here on", dir: "auto", value: lane.request.prompt });
    const noise = make("input", { className: "sl-input", ariaLabel: "Seed of the later noise", type: "number", min: 0, value: seed });
    const scale = make("input", { className: "sl-input", ariaLabel: "Guidance from here on", type: "number", min: 0, step: 0.5, placeholder: "its own" });
    function grow() {
      const changes = {};
      if (model.value !== own) changes.model = model.value;
      if (prompt.value.trim() !== lane.request.prompt) changes.prompt = prompt.value.trim();
      if (Number(noise.value) !== seed) changes.seed = Math.max(0, Math.floor(Number(noise.value)) || 0);
      if (scale.value !== "") changes.guidance = Number(scale.value);
      return page.grow(cell, changes);
    }
    return make(
      "details",
      { className: "sl-look-branch", open: growing, ontoggle: (event) => (growing = event.currentTarget.open) },
      make("summary", {}, "Go on from this step"),
      field("Model", model),
      field("Prompt", prompt),
      field("Seed of the later noise", noise),
      field("Guidance", scale),
      small("Branch from here", grow),
    );
  }

  return { element, show, hide, full };
};
