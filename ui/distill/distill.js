"use strict";
/* The Distill page: the form of a training (ui/jobs/start.js), and publishing its model. */

/* The card that publishes a run as a model: a name and a button. */
still.shows.model = ({ ask, changed }) => {
  const { make } = still;
  const name = make("input", {
    className: "sl-input",
    id: "serve-name",
    ariaLabel: "Name of the model",
    maxLength: 60,
    spellcheck: false,
  });
  const go = make("button", { className: "sl-go", onclick: serve }, "Serve this");
  const note = make("p", { className: "sl-note", role: "status" });
  const card = make(
    "section",
    { className: "sl-card sl-serve" },
    make("h2", {}, "Serve"),
    make("div", { className: "sl-acts" }, name, go),
    note,
  );
  let job = null;

  async function serve() {
    go.disabled = true;
    const answer = await ask(
      "job_serve",
      { id: job.id, model: name.value },
      (sentence) => (note.textContent = sentence),
    );
    if (answer) changed();
    else go.disabled = false;
  }

  function words(state) {
    if (state.reason) return [state.reason];
    if (!state.model)
      return [
        "Weights, manifest and card of the newest checkpoint go into the studio; the model appears in the menu of Create.",
      ];
    if (!state.ended) return [`${state.model} is being published; this takes a minute …`];
    if (state.error) return [`${state.model} was not published: ${state.error}`];
    if (!state.listed && !state.paints)
      return [`${state.model} is published; it paints nothing by itself, so others use it as their base.`];
    const link = make(
      "a",
      { className: "sl-small", href: `./?${new URLSearchParams({ model: state.model, prompt: "a red mushroom", ...state.paints })}` },
      "Paint with it",
    );
    return [`${state.model} is ${state.listed ? "in the menu" : "among the sliders"} of Create. `, link];
  }

  card.show = (shown, state) => {
    if (job?.id !== shown.id) name.value = `my-${shown.changed?.word ?? shown.request.method ?? shown.kind}`.replaceAll("_", "-");
    job = shown;
    const busy = Boolean(state.model && !state.ended);
    name.disabled = go.disabled = Boolean(state.reason) || busy;
    const key = JSON.stringify(state);
    if (card.dataset.key !== key) note.replaceChildren(...words(state));
    card.dataset.key = key;
  };
  return card;
};

still.parts.distill = (element, part) => {
  const { make } = still;
  const wizard = still.personal(still.asker(part.server), (id) => page.go(id));
  const page = still.startPage(element, part, {
    kind: "distill",
    title: "A new training",
    button: "Start training",
    hint: "A training is a job: it goes on when this page is closed. Its progress is shown here and on the Jobs page.",
    idle: wizard,
  });
  const own = make("button", { type: "button", className: "sl-quiet", id: "own-open", onclick: () => (page.rest(), wizard.querySelector("#own-choose").focus()) }, "Teach it your own thing …");
  page.page.querySelector(".sl-ask h2").after(make("div", { className: "sl-acts" }, own));
};
