"use strict";
/* What gradio has no widget for: a menu with greyed entries that say why, notes, and the status in the header. */

still.parts.head = (element) => {
  const write = (id, words) => {
    if (words) element.querySelector(id).textContent = words;
  };
  element.querySelector(".sl-lamp").addEventListener("click", still.theme);
  still.on("busy", (busy) => element.querySelector(".sl-dot").classList.toggle("sl-busy", busy));
  still.on("model", (model) => {
    write("#each", "ready");
    write("#each-model", model.id);
  });
  still.on("cost", (cost) => {
    write("#each", cost.each);
    write("#each-steps", cost.steps);
    write("#each-model", cost.model);
  });
};

still.parts.note = (element, part) => {
  const line = still.make("p", { className: "sl-note" });
  element.replaceChildren(line);
  const show = () => {
    line.textContent = part.props.value ?? "";
  };
  part.watch("value", show);
  show();
};

still.parts.menu = (element, part) => {
  const { make } = still;
  const select = make("select", { className: "sl-select", id: "model", onchange: choose });
  element.replaceChildren(make("label", { className: "sl-label", htmlFor: "model" }, "Model"), select);

  function choose() {
    part.props.value = select.value;
    part.trigger("input");
  }

  function fill(rows) {
    const option = (r) =>
      make("option", { value: r.id, disabled: Boolean(r.reason), title: r.reason ?? r.note }, r.id);
    const able = rows.filter((r) => !r.reason),
      unable = rows.filter((r) => r.reason);
    const greyed = make("optgroup", { label: "Can't run here" }, ...unable.map(option));
    select.replaceChildren(...able.map(option), ...(unable.length ? [greyed] : []));
    show();
  }

  function show() {
    const id = part.props.value;
    if (![...select.options].some((o) => o.value === id)) select.prepend(make("option", { value: id }, id));
    select.value = id;
  }

  still.on("menu", fill);
  still.on("restored", (request) => {
    select.value = request.model;
  });
  part.watch("value", show);
  show();
};

/* Why the greyed entries of the menu are grey; those with the same reason share a line. */
still.parts.reasons = (element) => {
  const lines = still.make("p", { className: "sl-note sl-reasons" });
  element.replaceChildren(lines);
  still.on("menu", (rows) => {
    const groups = Object.groupBy(
      rows.filter((r) => r.reason),
      (r) => r.reason,
    );
    const line = ([why, of]) => still.make("span", {}, `${of.map((r) => r.id).join(", ")}: ${why}`);
    lines.replaceChildren(...Object.entries(groups).map(line));
  });
};

/* Press a button of gradio's by what it is called. */
still.press = (selector) => {
  const at = document.querySelector(selector);
  (at?.matches("a, button") ? at : at?.querySelector("a, button"))?.click();
};

still.on("lock", (locked) => {
  const button = document.querySelector("#lock");
  button?.classList.toggle("sl-pressed", locked);
  if (button) button.ariaPressed = String(locked);
});
