"use strict";
/* Variety: one slider from 0 to 1 with a stop for each cure of this model, and a comparison of walls with and without.

   The slider sets fields of the request and is no field itself; a restored picture moves it to the stop of its fields. */

still.parts.variety = (element, part) => {
  const { make } = still;
  still.adopt(part);
  const off = part.props.data; // the defaults of the fields
  const knob = make("input", { type: "range", id: "variety", min: 0, max: 1, step: 1, value: 0, oninput: () => turn(), ariaLabel: "Variety" });
  const value = make("output", { className: "sl-knob-value", htmlFor: "variety" }, "0");
  const words = make("p", { className: "sl-knob-note", id: "variety-note", role: "status" });
  const look = make("button", { type: "button", className: "sl-quiet", id: "variety-look", onclick: () => beside() }, "With and without");
  const apart = make("button", { type: "button", className: "sl-quiet", id: "unlike", onclick: () => away() }, "More different from these");
  const far = make("p", { className: "sl-knob-note", id: "unlike-note", role: "status" });
  element.replaceChildren(
    make("div", { className: "sl-knob" }, make("label", { className: "sl-label", htmlFor: "variety" }, "Variety"), value),
    knob,
    words,
    make("div", { className: "sl-knob-acts" }, look, apart),
    far,
  );

  const stops = (request) => still.model.variety?.[request.steps] ?? { rungs: [], reason: "", note: "" };
  const cures = (request) => JSON.stringify(Object.keys(off).map((name) => request[name] ?? off[name]));
  const same = (fields) => cures(still.request) === cures(fields);
  let at = 0, // the stop, 0 for none; -1 for fields that are no stop of this model
    share = 0, // the slider's last position, for other steps and the next model
    steps = 0;

  function turn() {
    const { rungs } = stops(still.request);
    share = Number(knob.value);
    at = Math.round(share * rungs.length);
    still.set(at ? rungs[at - 1].fields : off);
  }

  function show() {
    const { rungs, reason, note } = stops(still.request);
    at = same(off) ? 0 : rungs.findIndex((rung) => same(rung.fields)) + 1 || -1;
    const stop = rungs.length ? Math.max(0, at) / rungs.length : 0;
    Object.assign(knob, { disabled: !rungs.length, step: rungs.length ? 1 / rungs.length : 1 });
    knob.value = String(stop);
    value.textContent = at < 0 ? "set by hand" : stop.toFixed(2).replace(/\.?0+$/, "");
    const effect = at > 0 ? rungs[at - 1].words : at < 0 ? "The picture's own settings; the knob has those of this model." : reason;
    words.textContent = [effect, note].filter(Boolean).join(" ");
    look.disabled = !rungs.length && at === 0;
  }

  /* Other steps and other models have other stops; the slider stays at about the same position. */
  function carry(request) {
    const { rungs } = stops(request),
      next = Math.round(share * rungs.length);
    Object.assign(request, next ? rungs[next - 1].fields : off);
  }

  still.on("switched", carry);
  still.on("request", (request) => {
    const here = request.model === still.model.id; // not so between a link's fields and their model
    if (here && steps && request.steps !== steps && at > 0) carry(request);
    if (here) steps = request.steps;
    show();
  });
  still.on("model", () => (steps = 0));
  still.on("restored", () => {
    show();
    if (at >= 0) share = Number(knob.value);
  });

  /* The next wall keeps away from this one, and from the walls that this one kept away from. */
  let known = {}; // the number of pictures in each stored set
  async function away() {
    const { request, pictures } = still.painter.wall;
    if (!pictures.length) return still.say("There is no picture to be different from yet.");
    const requests = pictures.slice(0, 16).map((p) => p.request);
    const answer = await still.call("unlike", { model: still.request.model, requests, unlike: request.unlike ?? "" });
    if (!answer) return undefined;
    known[answer.unlike] = answer.count;
    still.set({ unlike: answer.unlike }, { paint: false });
    still.roll({ paint: false });
    still.fire("seeds");
    return still.painter.want();
  }

  function showApart() {
    const { unlike, steps: now } = still.request;
    apart.disabled = now < 2;
    if (!unlike) return void (far.textContent = now < 2 ? "One step can't be pushed away from other pictures; two can." : "");
    const count = known[unlike];
    far.replaceChildren(
      `Kept away from ${count ? still.plural(count, "picture") : "earlier pictures"}. `,
      make("button", { type: "button", className: "sl-link", onclick: () => still.set({ unlike: "" }) }, "Let go of them"),
    );
  }
  still.on("request", (request) => {
    if (request.unlike && request.steps < 2) request.unlike = ""; // one step can't obey it
    showApart();
  });

  /* The same prompt and seeds with the slider at 0 and at its position (or at its end), in pairs. */
  const sheet = make("dialog", { className: "sl-beside", ariaLabel: "With and without", onclose: () => (round += 1) });
  element.append(sheet); // outside of gradio's container a phone's rules don't reach it
  let round = 0;

  async function beside() {
    const request = { ...still.request, num_images: Math.min(9, Math.max(4, still.request.num_images)) };
    const { rungs } = stops(still.request);
    const fields = at > 0 ? rungs[at - 1].fields : at < 0 ? request : rungs.at(-1).fields;
    const effect = at > 0 ? rungs[at - 1].words : at < 0 ? "The picture's own settings." : rungs.at(-1).words;
    const sides = [
      { title: "Without", effect: "The model as it is.", request: { ...request, ...off } },
      { title: "With", effect, request: { ...request, ...Object.fromEntries(Object.keys(off).map((name) => [name, fields[name] ?? off[name]])) } },
    ].map((side) => ({ ...side, grid: make("div", { className: "sl-wall" }), time: make("b", { className: "sl-time" }, "…"), ms: 0 }));
    const columns = sides.map((side) =>
      make("section", {}, make("h2", {}, side.title), make("p", {}, side.effect), make("p", { className: "sl-facts" }, side.time), side.grid),
    );
    sides.forEach((side) => {
      side.grid.style.setProperty("--columns", request.num_images > 4 ? 3 : 2);
      side.grid.append(...Array.from({ length: request.num_images }, () => make("figure", { className: "sl-tile sl-empty" })));
    });
    const close = make("button", { className: "sl-corner", ariaLabel: "Close", title: "Close (Esc)", onclick: () => sheet.close() }, "×");
    sheet.replaceChildren(close, make("div", { className: "sl-sides" }, ...columns));
    sheet.showModal();
    const mine = ++round,
      tab = still.token();
    for (let k = 0; k < request.num_images; k++) {
      for (const side of sides) {
        const answer = await still.call("paint", { tab, request: side.request, first: k, count: 1, keep: false, ticket: k });
        if (mine !== round || !answer?.pictures) return;
        const [picture] = answer.pictures;
        const image = make("img", { src: picture.src, alt: `${picture.text}, seed ${picture.request.seed}` });
        side.grid.children[k].replaceWith(make("figure", { className: "sl-tile" }, image));
        if (k) side.ms += answer.denoise_ms + answer.decode_ms; // the first picture includes loading
        side.time.textContent = k ? `${Math.round(side.ms / k).toLocaleString("en")} ms a picture` : "…";
      }
    }
  }

  show();
};
