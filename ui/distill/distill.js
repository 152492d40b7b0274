"use strict";
/* Distill: a training as a form, what it will cost, and the live view of the one that was started last. */

/* What a run needs to become a model: a name, and whoever presses the button. */
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
  const said = make("p", { className: "sl-note", role: "status" });
  const card = make(
    "section",
    { className: "sl-card sl-serve" },
    make("h2", {}, "Serve"),
    make("div", { className: "sl-acts" }, name, go),
    said,
  );
  let job = null;

  async function serve() {
    go.disabled = true;
    const answer = await ask(
      "job_serve",
      { id: job.id, model: name.value },
      (sentence) => (said.textContent = sentence),
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
    if (!state.listed)
      return [`${state.model} is published; it paints nothing by itself, so others use it as their base.`];
    const link = make(
      "a",
      { href: `./?${new URLSearchParams({ model: state.model, prompt: "a red mushroom" })}` },
      "Paint with it",
    );
    return [`${state.model} is in the menu of Create. `, link];
  }

  card.show = (shown, state) => {
    if (job?.id !== shown.id) name.value = `my-${shown.request.method ?? shown.kind}`.replaceAll("_", "-");
    job = shown;
    const busy = Boolean(state.model && !state.ended);
    name.disabled = go.disabled = Boolean(state.reason) || busy;
    const key = JSON.stringify(state);
    if (card.dataset.key !== key) said.replaceChildren(...words(state));
    card.dataset.key = key;
  };
  return card;
};

still.parts.distill = (element, part) => {
  const { make } = still;
  const { line, say } = still.sayLine("distill-say");
  const ask = still.asker(part.server, say);
  const fields = make("div", {});
  const cost = make("div", { className: "sl-cost", role: "status" });
  const start = make("button", { className: "sl-go", id: "start", onclick: submit }, "Start training");
  const detail = make("div", { className: "sl-job", hidden: true });
  const hint = make(
    "p",
    { className: "sl-note" },
    "A training is a job: it goes on when this page is closed. What it does is shown here, and on the Jobs page.",
  );
  const ask_card = make(
    "section",
    { className: "sl-card sl-ask" },
    make("h2", {}, "A new training"),
    fields,
    cost,
    make("div", { className: "sl-acts" }, start),
  );
  element.replaceChildren(
    make(
      "div",
      { className: "sl-jobspage sl-distill" },
      line,
      ask_card,
      make("div", { className: "sl-jobside" }, hint, detail),
    ),
  );
  const linked = () => new URLSearchParams(location.search).get("id");
  const form = still.requestForm(fields, { ask, kind: "distill", values: {}, fresh: true, changed: () => estimate() });
  let timer = 0;

  function estimate() {
    clearTimeout(timer);
    const turn = (timer = setTimeout(async () => {
      const answer = await ask("job_estimate", { kind: "distill", values: form.values() });
      if (!answer || turn !== timer) return; // answers may overtake each other
      start.disabled = Boolean(answer.mistake);
      cost.dataset.kind = answer.mistake ? "error" : "note";
      cost.replaceChildren(...(answer.mistake ? [answer.mistake] : answer.sentences).map((s) => make("p", {}, s)));
    }, 250));
  }

  async function submit() {
    start.disabled = true;
    const answer = await ask("job_submit", { kind: "distill", values: form.values() });
    start.disabled = false;
    if (answer) go(answer.id);
  }

  function go(id) {
    history.pushState(null, "", `${location.pathname}${id ? `?id=${id}` : ""}`);
    place();
  }
  function place() {
    if (linked()) view.open(linked());
    turn();
  }
  addEventListener("popstate", place);
  const view = still.jobView(detail, {
    ask,
    gone: () => location.assign("./jobs"),
    changed: () => turn(),
    started: go,
  });

  async function newest() {
    const answer = await ask("jobs_page", {});
    const found = answer && [...answer.active, ...answer.ended].find((j) => j.kind === "distill");
    if (found) view.open(found.id);
  }

  async function each() {
    if (!view.id) await newest();
    if (view.id) {
      const answer = await view.look();
      hint.hidden = Boolean(answer);
      const state = answer?.job.state;
      still.emit("busy", state === "running");
      still.emit("cost", { each: state ? `${answer.job.title}: ${state}` : "nothing runs" });
      return state === "running" || state === "queued" ? 1000 : 4000;
    }
    return 4000;
  }
  if (linked()) view.open(linked());
  const turn = still.often(each);
};
