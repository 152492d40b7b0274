"use strict";
/* A request as a form: its fields and settings, as the server describes them. Values are texts, as in `--set`, so that
   page, HTTP and command line share one validator. A new request (`fresh`) has the server's proposals until a person
   chooses otherwise. */

still.requestForm = (element, { ask, kind, values, fresh = false, changed = () => {} }) => {
  const { make } = still;
  const chosen = new Set(Object.keys(values));
  let spec = null,
    loads = 0;
  values = { ...values };

  function input(field) {
    const value = values[field.name] ?? "";
    const write = (event) => {
      chosen.add(field.name);
      if (event.target.value === "") delete values[field.name];
      else values[field.name] = event.target.value;
      if (field.again) load();
      changed(values);
    };
    const id = `ask-${field.name.replaceAll(".", "-")}`;
    const usual = field.usual ?? "";
    const option = (c) =>
      make("option", { value: c.value, disabled: Boolean(c.reason), title: c.reason ?? "" }, c.value);
    const control = field.choices
      ? make(
          "select",
          { id, className: "sl-select", onchange: write },
          ...(field.optional ? [make("option", { value: "" }, "none")] : []),
          ...(value && !field.choices.some((c) => c.value === value) ? [option({ value, reason: "" })] : []),
          ...field.choices.map(option),
        )
      : make("input", {
          id,
          className: "sl-input",
          type: "text",
          placeholder: usual,
          autocomplete: "off",
          spellcheck: false,
          oninput: write,
        });
    control.value = value || (field.choices ? usual : "");
    const name = field.label + (field.unit && field.unit !== field.name ? ` (${field.unit})` : "");
    return make(
      "div",
      { className: "sl-field" },
      make("label", { className: "sl-label", htmlFor: id }, name),
      control,
      make("p", { className: "sl-note" }, field.help),
      ...(field.offer ? [offered(field)] : []),
    );
  }

  /* The button for missing data, which makes disabled choices available; the form checks until they are. */
  let again = 0;
  function offered({ choices, offer }) {
    const greyed = choices.filter((c) => c.reason);
    const press = async () => (await ask(offer.function)) && load();
    const go = make("button", { type: "button", className: "sl-small", disabled: offer.running, onclick: press },
      offer.running ? `${offer.label} …` : offer.label);
    const why = `${greyed.map((c) => c.value).join(", ")}: ${greyed[0]?.reason ?? ""}`;
    clearTimeout(again);
    if (offer.running) again = setTimeout(load, 2000);
    const error = offer.error ? make("p", { className: "sl-note sl-bad" }, `Not fetched: ${offer.error}`) : null;
    return make("div", { className: "sl-offer" }, make("p", { className: "sl-note" }, why), go, error);
  }

  function draw() {
    const focus = document.activeElement?.id;
    const set = spec.settings.filter((s) => s.name in values).length;
    const settings = make(
      "details",
      { className: "sl-settings", open: element.querySelector("details")?.open ?? set > 0 },
      make("summary", {}, `Settings of ${spec.owner}${set ? `, ${set} changed` : ""}`),
      make("div", { className: "sl-fields" }, ...spec.settings.map(input)),
    );
    element.replaceChildren(
      make("div", { className: "sl-fields" }, ...spec.fields.map(input)),
      ...(spec.settings.length ? [settings] : []),
    );
    if (focus) element.querySelector(`#${CSS.escape(focus)}`)?.focus();
  }

  async function load() {
    const turn = ++loads;
    const answer = await ask("job_form", { kind, values });
    if (!answer || turn !== loads) return; // answers may arrive out of order
    spec = answer;
    const known = [...spec.fields, ...spec.settings].map((f) => f.name);
    for (const name of Object.keys(values)) if (!known.includes(name)) delete values[name];
    for (const { name, proposed } of spec.fields) {
      if (!fresh || proposed === undefined || chosen.has(name)) continue;
      if (proposed) values[name] = proposed;
      else delete values[name];
    }
    draw();
    changed(values);
  }
  load();
  return {
    values: () => values,
    /* The value of a field, or its default. */
    value: (name) => values[name] ?? [...(spec?.fields ?? []), ...(spec?.settings ?? [])].find((f) => f.name === name)?.usual,
    /* Sets a value as if a person had typed it. */
    write(name, value) {
      values[name] = value;
      chosen.add(name);
      const input = element.querySelector(`#ask-${CSS.escape(name.replaceAll(".", "-"))}`);
      if (input) input.value = value;
      changed(values);
    },
    /* The values that a person chose. */
    chosen: () => Object.fromEntries(Object.entries(values).filter(([name]) => chosen.has(name))),
  };
};

/* Rerun with changes: the old request in a dialog, a new job from it. */
still.rerun = (job, ask, { started, home }) => {
  const { make } = still;
  const body = make("div", {});
  const problem = make("p", { className: "sl-say", role: "alert" });
  problem.dataset.kind = "error";
  const go = make("button", { className: "sl-go" }, "Start the new job");
  const close = make("button", {}, "Close");
  const dialog = make(
    "dialog",
    { className: "sl-rerun", ariaLabel: "Rerun with changes" },
    make("h2", {}, `${job.title}, again`),
    make("p", { className: "sl-note" }, "A new job from step 0; the old one stays as it is."),
    body,
    problem,
    make("div", { className: "sl-acts" }, go, close),
  );
  const form = still.requestForm(body, { ask, kind: job.kind, values: job.changed });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  go.addEventListener("click", async () => {
    const answer = await ask(
      "job_submit",
      { kind: job.kind, values: form.values(), parent: job.id },
      (sentence) => (problem.textContent = sentence),
    );
    if (!answer) return;
    dialog.close();
    started(answer.id);
  });
  home.append(dialog);
  dialog.showModal();
};
