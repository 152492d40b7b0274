"use strict";
/* Names offered under the prompt while one types: a click takes one, or ↓ and Enter; Escape sends them away. */

still.offers = (area, take) => {
  const { make } = still;
  const list = make("div", { className: "sl-offers", id: "offers", role: "listbox", ariaLabel: "Names that go on so", hidden: true });
  Object.assign(area, { ariaAutoComplete: "list" });
  area.setAttribute("aria-controls", "offers");
  let at = -1, // the one that is chosen
    offered = { from: 0, names: [] };

  function close() {
    list.hidden = true;
    choose(-1);
  }

  function choose(i) {
    at = i;
    [...list.children].forEach((one, k) => (one.ariaSelected = String(k === i)));
    if (i < 0) area.removeAttribute("aria-activedescendant");
    else area.setAttribute("aria-activedescendant", list.children[i].id);
  }

  function accept(i) {
    const { from, names } = offered;
    close();
    take(area.value.slice(0, from) + names[i].name);
  }

  function offer() {
    const end = area.selectionStart === area.value.length && area.selectionEnd === area.value.length;
    offered = end ? still.picker.ends(area.value) : { from: 0, names: [] };
    const one = ({ of, place, name }, i) =>
      make(
        "button",
        { id: `offer-${i}`, role: "option", tabIndex: -1, ariaSelected: "false", onpointerdown: (e) => (e.preventDefault(), accept(i)) },
        still.picker.small(of, place),
        name,
      );
    list.replaceChildren(...offered.names.map(one));
    list.hidden = !offered.names.length;
    choose(-1);
  }

  area.addEventListener("input", offer);
  area.addEventListener("blur", close);
  area.addEventListener(
    "keydown",
    (event) => {
      if (list.hidden || event.isComposing) return;
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (by) choose(Math.max(-1, Math.min(list.children.length - 1, at + by)));
      else if (event.key === "Enter" && at >= 0) accept(at);
      else if (event.key === "Escape") close();
      else return;
      event.preventDefault();
      event.stopImmediatePropagation();
    },
    true,
  );
  return list;
};
