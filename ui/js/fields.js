"use strict";
/* Widgets that gradio lacks: a menu whose disabled entries have reasons, and notes. */

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
    const ariaLabel = r.good_for ? `${r.good_for}, ${r.id}` : r.id; // else a screen reader would say the title
    return make("option", { value: r.id, disabled: Boolean(r.reason), title: r.reason ?? r.note, ariaLabel }, picture, ...words);
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

/* One of a few choices, by the browser's own menu, which shows all of them and closes when it loses the focus. */
still.parts.choice = (element, part) => {
  const { make } = still;
  const { name, label, choices } = part.props.data;
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

  /* What the model of the form can't take is greyed out. */
  const able = () => still.model?.able?.[name] ?? choices;
  const grey = () => [...select.options].forEach((option) => (option.disabled = !able().includes(option.value)));
  still.on("model", grey);
  part.watch("value", show);
  show();
  grey();
};

/* Tab stops once at a group of radio buttons, at the chosen one. Gradio gives each button a name of its own whenever it
   draws them, so the names are made equal again. */
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

/* The reasons of the disabled entries of the menu; entries with the same reason share a line. */
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

/* Press one of gradio's buttons, by its selector. */
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

/* Number fields send exactly the value that they show. While one is typed, a value out of range is sent and refused in a
   sentence; when the field loses the focus, it gets the nearest valid value. An empty field gets its last valid value. */
still.numbers = (() => {
  const sent = new WeakMap(), // the value that each field sent last, as gradio corrects its sliders silently
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
    const emptied = target.value === ""; // checked now, as gradio then writes the slider's lowest value
    setTimeout(() => settle(target, emptied));
  }
  addEventListener("focusout", left, true);

  return {
    /* The last valid value of a field. */
    last(name) {
      const text = good.get(document.querySelector(`#field-${name} input[type=number]`));
      return text === undefined ? undefined : Number(text);
    },
  };
})();
