"use strict";
/* What gradio has no widget for: a menu with greyed entries that say why, and notes. */

still.parts.note = (element, part) => {
  const line = still.make("p", { className: "sl-note" });
  element.replaceChildren(line);
  const show = () => {
    line.textContent = part.props.value ?? "";
  };
  part.watch("value", show);
  show();
};

/* What the chosen model is like, in words, and the same in the words of the field. */
still.parts.about = (element, part) => {
  const { make } = still;
  const says = make("p", { className: "sl-note" });
  const details = make("p", { className: "sl-note" });
  element.replaceChildren(says, make("details", { className: "sl-details" }, make("summary", {}, "Details"), details));
  const show = (model) => {
    says.textContent = model.says;
    details.textContent = model.details;
  };
  still.on("model", show);
  show(part.props.data);
};

still.parts.menu = (element, part) => {
  const { make } = still;
  const select = make("select", { className: "sl-select", id: "model", onchange: choose });
  select.classList.toggle("sl-rich", CSS.supports("appearance", "base-select"));
  element.replaceChildren(make("label", { className: "sl-label", htmlFor: "model" }, "Model"), select);

  function choose() {
    part.props.value = select.value;
    part.trigger("input");
  }

  /* What a model is good for, a picture by it, and its id small behind them. A browser that draws no rich options shows
     the words of each alone. */
  function option(r) {
    const picture = r.sample && make("img", { src: r.sample, alt: "" });
    const words = r.good_for
      ? [make("span", {}, r.good_for, " ", make("span", { className: "sl-model-id" }, r.id))]
      : [r.id];
    return make("option", { value: r.id, disabled: Boolean(r.reason), title: r.reason ?? r.note }, picture, ...words);
  }

  function fill(rows) {
    const able = rows.filter((r) => !r.reason),
      unable = rows.filter((r) => r.reason);
    const greyed = make("optgroup", { label: "Can't run here" }, ...unable.map(option));
    const face = make("button", {}, document.createElement("selectedcontent"));
    select.replaceChildren(face, ...able.map(option), ...(unable.length ? [greyed] : []));
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

/* One of a few; the browser's own menu, which opens when it is asked to, shows them all, and closes when it is left. */
still.parts.choice = (element, part) => {
  const { make } = still;
  const { label, choices } = part.props.data;
  const select = make("select", { className: "sl-select", ariaLabel: label, onchange: choose });
  select.replaceChildren(...choices.map((choice) => make("option", { value: choice }, choice)));
  element.replaceChildren(make("label", { className: "sl-choice" }, make("span", { className: "sl-label" }, label), select));

  function choose() {
    part.props.value = select.value;
    part.trigger("input");
  }

  const show = () => {
    select.value = part.props.value;
  };
  part.watch("value", show);
  show();
};

/* A group of radio buttons is one stop of the Tab key, at the one that is chosen. Gradio gives each a name of its own, anew
   whenever it draws them. */
(() => {
  function joined(target) {
    if (!(target instanceof HTMLInputElement) || target.type !== "radio") return [];
    const all = [...target.closest("fieldset, .wrap").querySelectorAll("input[type=radio]")];
    for (const radio of all) radio.name = all[0].name;
    return all;
  }
  addEventListener("keydown", (event) => joined(event.target), true);
  addEventListener("focusin", ({ target, relatedTarget }) => {
    const all = joined(target),
      chosen = all.find((radio) => radio.checked);
    if (chosen && !all.includes(relatedTarget) && target.matches(":focus-visible")) chosen.focus();
  });
  /* A screen reader calls the group by its label. */
  const named = () =>
    document.querySelectorAll("fieldset").forEach((group) => {
      group.ariaLabel = group.querySelector("[data-testid=block-info]")?.textContent.trim() ?? null;
    });
  still.on("request", named);
  still.on("model", () => setTimeout(named)); // when gradio has drawn what this model takes
})();

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
  if (!button) return;
  button.classList.toggle("sl-pressed", locked);
  button.ariaPressed = String(locked);
  button.textContent = locked ? "Seed kept" : "Keep seed";
});

/* Numbers: what is shown is what is sent. While one is typed, a value out of range is sent and refused in a sentence; when
   its field is left it becomes the nearest that is allowed. An emptied field means the last allowed one, and shows it. */
still.numbers = (() => {
  const sent = new WeakMap(), // what each field last told the page; gradio corrects its sliders without a word
    good = new WeakMap();
  const numeric = (target) => target instanceof HTMLInputElement && target.type === "number";

  function nearest(input) {
    const bound = (text, none) => (text === "" ? none : Number(text));
    const value = Math.min(Math.max(Number(input.value), bound(input.min, -Infinity)), bound(input.max, Infinity));
    return input.step === "1" ? Math.round(value) : value;
  }

  const allowed = (input) => input.value !== "" && nearest(input) === Number(input.value);

  function settle(input, emptied) {
    if (!sent.has(input)) return;
    const value = String(emptied ? (good.get(input) ?? "") : nearest(input));
    if (value === sent.get(input) && value === input.value) return;
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  const note = ({ target }) => numeric(target) && allowed(target) && good.set(target, target.value);
  addEventListener("focusin", note, true);
  addEventListener(
    "input",
    (event) => {
      note(event);
      if (numeric(event.target)) sent.set(event.target, event.target.value);
    },
    true,
  );
  function left({ target }) {
    if (!numeric(target)) return;
    const emptied = target.value === ""; // as it is now: gradio then puts a slider's lowest there
    setTimeout(() => settle(target, emptied));
  }
  addEventListener("focusout", left, true);

  return {
    /* The last value of a field that it was allowed to have. */
    last(name) {
      const text = good.get(document.querySelector(`#field-${name} input[type=number]`));
      return text === undefined ? undefined : Number(text);
    },
  };
})();
