"use strict";
/* A page of one kind of job: its form, its cost, and the live view of the job that was started last.
   `idle`: an element that stands there while there is none. `filled(values)` hears what the form holds. Returns what a
   page goes on with. */

still.startPage = (element, part, { kind, title, button, hint: words, idle = null, filled = () => {} }) => {
  const { make } = still;
  const ask = still.asker(part.server);
  const fields = make("div", {});
  const cost = make("div", { className: "sl-cost", role: "status" });
  const start = make("button", { className: "sl-go", id: "start", onclick: submit }, button);
  const detail = make("div", { className: "sl-job", hidden: true });
  const hint = make("div", { className: "sl-idle" }, make("p", { className: "sl-note" }, words), idle);
  const ask_card = make(
    "section",
    { className: "sl-card sl-ask" },
    make("h2", {}, title),
    fields,
    cost,
    make("div", { className: "sl-acts" }, start),
  );
  element.replaceChildren(
    make(
      "div",
      { className: "sl-jobspage sl-distill" },
      ask_card,
      make("div", { className: "sl-jobside" }, hint, detail),
    ),
  );
  const linked = () => new URLSearchParams(location.search).get("id");
  const memory = `form ${kind}`; // the values survive a visit to another page
  const values = JSON.parse(still.session.get(memory) ?? "{}");
  const form = still.requestForm(fields, { ask, kind, values, fresh: true, changed });
  let timer = 0,
    state = "",
    begun = null, // the job that was started here, until its live view has been scrolled into sight
    resting = false; // whether a person closed the live view

  function changed() {
    still.session.set(memory, JSON.stringify(form.chosen()));
    filled(form.values());
    estimate();
  }

  function estimate() {
    clearTimeout(timer);
    const turn = (timer = setTimeout(async () => {
      const answer = await ask("job_estimate", { kind, values: form.values() });
      if (!answer || turn !== timer) return; // answers may arrive out of order
      start.disabled = Boolean(answer.mistake);
      cost.dataset.kind = answer.mistake && Object.keys(form.chosen()).length ? "error" : "note"; // an empty form shows no mistake yet
      cost.replaceChildren(...(answer.mistake ? [answer.mistake] : answer.sentences).map((s) => make("p", {}, s)));
    }, 250));
  }

  async function submit() {
    start.disabled = true;
    const answer = await ask("job_submit", { kind, values: form.values() });
    start.disabled = false;
    if (!answer) return;
    begun = answer.id;
    go(answer.id);
  }

  function go(id) {
    history.pushState(null, "", `${location.pathname}${id ? `?id=${id}` : ""}`);
    place();
  }
  function place() {
    resting = false;
    if (linked()) view.open(linked());
    turn();
  }
  /* Back to the page without a job. */
  function rest() {
    history.pushState(null, "", location.pathname);
    resting = true;
    state = "";
    view.open(null);
    hint.hidden = false;
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
    const latest = answer && [...answer.active, ...answer.ended].find((j) => j.kind === kind);
    if (latest && !resting) view.open(latest.id);
  }

  async function each() {
    if (!view.id && !resting) await newest();
    if (view.id) {
      const answer = await view.look();
      if (resting) return 4000; // it was closed meanwhile
      hint.hidden = Boolean(answer);
      if (answer?.job.id === begun) {
        begun = null;
        detail.querySelector("h1").scrollIntoView({ block: "nearest", behavior: "smooth" });
      }
      const now = answer?.job.state;
      if (now !== state && state) estimate(); // an ended training changes the estimate
      if (now !== state && now === "done") still.emit("made", answer.job);
      state = now ?? "";
      still.emit("busy", state === "running");
      still.emit("cost", { each: state ? `${answer.job.title}: ${state}` : "nothing runs" });
      return state === "running" || state === "queued" ? 1000 : 4000;
    }
    still.emit("cost", { each: "nothing runs" });
    return 4000;
  }
  if (linked()) view.open(linked());
  const turn = still.often(each);
  return { ask, go, rest, form, page: element.firstElementChild };
};
