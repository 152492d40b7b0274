"use strict";
/* Sets of sliders and LoRAs that this browser remembers by name. */

/* able(request): what of its sliders and LoRAs the present model can obey. */
still.sliderSets = (able) => {
  const { make, store } = still;
  const stored = () => JSON.parse(store.get("slider-sets") ?? "{}");
  const name = make("input", { id: "set-name", placeholder: "a name", ariaLabel: "Name of the set", maxLength: 40 });
  const pick = make("select", { id: "set-pick", ariaLabel: "Load a set", onchange: load });
  const save = make("button", { type: "submit", className: "sl-quiet", id: "set-save" }, "Save this set");
  const forget = make("button", { type: "button", className: "sl-quiet", id: "set-forget", onclick: drop }, "Forget it");
  const form = make("form", { className: "sl-knob-acts", onsubmit: keep }, name, save, forget);

  function list(chosen = "") {
    const known = Object.keys(stored());
    pick.replaceChildren(make("option", { value: "" }, known.length ? "load one …" : "none yet"), ...known.map((one) => make("option", { value: one }, one)));
    pick.value = chosen;
    pick.disabled = !known.length;
    forget.hidden = !chosen;
  }

  function write(sets, chosen) {
    store.set("slider-sets", JSON.stringify(sets));
    list(chosen);
  }

  function keep(event) {
    event.preventDefault();
    const { sliders, loras } = still.request,
      called = name.value.trim();
    if (!called) return still.say("Give the set a name.", "error");
    if (!sliders && !loras) return still.say("No slider and no LoRA acts yet.", "error");
    name.value = "";
    return write({ ...stored(), [called]: { sliders, loras } }, called);
  }

  function load() {
    const set = stored()[pick.value];
    forget.hidden = !set;
    if (!set) return;
    const kept = able(set);
    still.set(kept);
    const left = kept.sliders !== set.sliders || kept.loras !== set.loras;
    if (left) still.say(`${still.model.id} can't use all of this set.`);
  }

  function drop() {
    const { [pick.value]: gone, ...others } = stored();
    write(others, "");
  }

  list();
  return make("div", { id: "sets" }, make("div", { className: "sl-knob" }, make("span", { className: "sl-label" }, "Sets"), pick), form);
};
