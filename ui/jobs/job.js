"use strict";
/* The live view of a job: a sentence on its state, progress, curves, samples, its log and its actions. */

/* Texts for times and states. `now` is the server's clock. */
still.lasted = (seconds) => {
  const s = Math.max(0, Math.round(seconds)),
    minutes = Math.round(s / 60),
    hours = Math.floor(minutes / 60);
  if (s < 60) return `${s} s`;
  if (minutes < 60) return `${minutes} min`;
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.round(hours / 24)} days`;
};
still.when = (time, now) => {
  const [then, today] = [new Date(time * 1000), new Date(now * 1000)];
  const clock = then.toTimeString().slice(0, 5);
  if (then.toDateString() === today.toDateString()) return clock;
  const days = Math.round((new Date(today.toDateString()) - new Date(then.toDateString())) / 864e5);
  return days === 1
    ? `yesterday ${clock}`
    : then.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
};
still.size = (bytes) =>
  bytes >= 1e9
    ? `${(bytes / 1e9).toFixed(1)} GB`
    : bytes >= 1e6
      ? `${(bytes / 1e6).toFixed(1)} MB`
      : `${Math.ceil(bytes / 1e3)} kB`;
still.count = (n) => n.toLocaleString("en");

/* The progress of a stage. Stages before a training's steps count pictures, or nothing. */
still.jobAt = (job) =>
  job.stage === "train" || !job.stage
    ? `step ${still.count(job.step ?? 0)}`
    : `${job.stage}, ${still.count(job.step ?? 0)}`;

still.jobWords = (job) => {
  const at = job.step ? ` at ${still.jobAt(job)}` : "";
  const again = job.attempt > 1 ? `, attempt ${job.attempt}` : "";
  switch (job.state) {
    case "running":
      if (job.wish === "cancel") return "stopping; what is saved is kept";
      if (job.wish === "pause") return "pausing after a checkpoint";
      if (job.total === 1 && job.stage !== "train") return job.stage; // such as loading a model
      return job.total
        ? `${job.stage ?? "work"}: ${job.stage === "train" ? "step " : ""}${still.count(job.step ?? 0)} of ${still.count(job.total)}`
        : "starting: programs and models are loaded, which takes up to a minute";
    case "queued":
      if (job.error) return `retries: ${job.error}`;
      return job.attempt ? "queued to resume" : "waiting for its turn";
    case "paused":
      return `paused${at}`;
    case "done":
      return `done in ${still.lasted(job.ran)}${again}`;
    case "failed":
      return job.error ?? "failed";
    default:
      return `cancelled${at}`;
  }
};
still.jobDot = (job) => still.make("i", { className: `sl-st sl-${job.state}`, title: job.state });

still.jobView = (element, { ask, gone, changed, started }) => {
  const { make, count, lasted } = still;
  const title = make("h1"),
    about = make("div", { className: "sl-facts" }),
    acts = make("div", { className: "sl-acts" });
  const words = make("p", { className: "sl-words", role: "status" });
  const filled = make("u"),
    bar = make("div", { className: "sl-big" }, filled);
  const facts = make("div", { className: "sl-facts sl-figures" });
  const plots = make("div"),
    curves = make("section", { className: "sl-card sl-none" }, make("h2", {}, "Curves"), plots);
  const grid = make("img", { className: "sl-grid", alt: "Samples" });
  const pick = make("input", { type: "range", className: "sl-steps", ariaLabel: "Step of the samples", min: 0 });
  const stepped = make("h2", {}, "Samples");
  const samples = make("section", { className: "sl-card sl-none" }, stepped, grid, pick);
  const log = make("pre", { tabIndex: 0, ariaLabel: "Log" });
  const logged = make("section", { className: "sl-card sl-none" }, make("h2", {}, "Log"), log);
  const requested = make("section", { className: "sl-card" });
  const made = make("div", { className: "sl-results" });
  const two = make("div", { className: "sl-two" }, curves, samples);
  const head = make("div", { className: "sl-jobhead" }, make("div", {}, title, about), acts);
  const results = still.results(made, { ask, started, changed: () => look() });
  element.replaceChildren(head, words, bar, facts, two, made, logged, requested);
  const plot = still.curves(plots);
  let id = null,
    job = null,
    now = 0,
    live = {},
    seen = -1,
    mark = "",
    steps = [],
    newest = true,
    sure = null, // an action that waits for confirmation
    last = [];

  /* Replaces children only where they changed, so that a selection, the focus or a press on the old ones is kept. */
  function fresh(parent, ...children) {
    const key = children.map((c) => c.outerHTML).join("");
    if (parent.dataset.key !== key) parent.replaceChildren(...children);
    parent.dataset.key = key;
  }
  const fact = (name, value, more = "") => make("span", {}, `${name} `, make("b", {}, value), more);

  function describe() {
    title.textContent = job.title;
    const base = job.request.base ? [fact("from", job.request.base)] : [];
    const link = make(
      "button",
      { className: "sl-link", title: "Copy the link of this job", onclick: copy },
      job.id,
    );
    const again = job.resumed_from ? [fact("resumed from step", count(job.resumed_from))] : [];
    const whose = job.owner === "local" ? [] : [fact("of", job.owner.slice(0, 20))];
    const parent = job.parent
      ? [make("span", {}, "retry of ", make("a", { href: `./jobs?id=${job.parent}` }, job.parent))]
      : [];
    fresh(
      about,
      ...base,
      make("span", {}, "job ", link),
      ...whose,
      ...(job.attempt > 1 ? [fact("attempt", job.attempt)] : []),
      ...again,
      ...parent,
    );
    words.textContent = sentence();
    words.dataset.state = job.state;
  }

  function sentence() {
    const text = still.jobWords(job);
    const resume = {
      paused: "; resume goes on from the checkpoint",
      failed: ". Resume goes on from the last checkpoint",
      cancelled: "; resume goes on from the checkpoint",
    }[job.state];
    const whole = `${text}${(job.checkpoint_step !== null && resume) || ""}.`.replace(/\.\.$/, ".");
    return whole[0].toUpperCase() + whole.slice(1);
  }

  function measure() {
    const share = job.total ? Math.min(1, (job.step ?? 0) / job.total) : 0;
    filled.style.width = `${100 * (job.state === "done" ? 1 : share)}%`;
    bar.dataset.state = job.state;
    bar.classList.toggle("sl-unknown", job.state === "running" && (!job.total || (job.total === 1 && job.stage !== "train")));
    const out = [];
    if (job.total > 1 || job.stage === "train") out.push(make("span", {}, make("b", {}, count(job.step ?? 0)), ` / ${count(job.total)}${job.stage === "train" ? " steps" : ""}`));
    if (job.state === "running" && job.seconds_left)
      out.push(make("span", {}, make("b", {}, lasted(job.seconds_left)), " left"));
    if (job.state === "running" && live.speed)
      out.push(
        live.speed >= 1
          ? fact("", live.speed.toPrecision(3), job.stage === "train" ? " steps/s" : " /s")
          : fact("", (1 / live.speed).toPrecision(3), job.stage === "train" ? " s a step" : " s each"),
      );
    if (job.checkpoint_step !== null)
      out.push(
        fact(
          "last checkpoint",
          count(job.checkpoint_step),
          job.checkpoint_at ? `, ${lasted(now - job.checkpoint_at)} ago` : "",
        ),
      );
    if (job.state !== "running" && job.ran) out.push(fact("worked", lasted(job.ran)));
    if (job.state === "running" && job.device)
      out.push(fact("on", job.device === "cpu" ? "the CPU, one thread" : job.device));
    if (job.bytes) out.push(fact("files", still.size(job.bytes)));
    facts.replaceChildren(...out);
  }

  const NAMES = {
    pause: "Pause",
    resume: "Resume",
    cancel: "Cancel",
    rerun: "Rerun with changes",
    delete: "Delete",
  };
  function buttons(names) {
    const key = names.join() + (sure ? sure.name : "");
    if (acts.dataset.key === key) return;
    acts.dataset.key = key;
    const really = { delete: () => `Really delete ${still.size(job.bytes)}?`, cancel: () => "Really cancel?" };
    const label = (name) => (sure && sure.name === name ? really[name]() : NAMES[name]);
    const press = (name) =>
      make(
        "button",
        { className: name === "cancel" || name === "delete" ? "sl-danger" : "", onclick: () => act(name) },
        label(name),
      );
    acts.replaceChildren(...names.map(press));
    acts.inert = !sure; // so that the click before does not press a button that appears under the pointer
    setTimeout(() => (acts.inert = false), 400);
  }

  async function act(name) {
    if (name === "rerun") return still.rerun(job, ask, { started, home: element.parentElement });
    if ((name === "delete" || name === "cancel") && sure?.name !== name) {
      clearTimeout(sure?.timer);
      const timer = setTimeout(() => {
        sure = null;
        buttons(last);
      }, 5000);
      sure = { name, timer };
      return buttons(last);
    }
    clearTimeout(sure?.timer);
    sure = null;
    const answer = await ask("job_do", { action: name, id });
    if (answer && name === "delete") {
      id = null; // so that it is not requested again
      element.hidden = true;
      return gone();
    }
    if (answer) await look();
    return changed();
  }
  const copy = () => still.copy(new URL(`./jobs?id=${id}`, location.href).href, "The link is copied.");

  async function show(step) {
    const mine = id;
    const answer = await ask("job_sample", { id, step });
    if (!answer?.src || mine !== id) return;
    grid.src = answer.src;
    grid.style.maxWidth = `${answer.width * 2}px`;
    stepped.textContent = `Samples on fixed seeds, step ${count(answer.step)}`;
    samples.classList.remove("sl-none");
  }
  pick.addEventListener("input", () => {
    newest = Number(pick.value) === steps.length - 1;
    show(steps[pick.value]);
  });

  function follow(news) {
    if (news.curves) plot.show(news.curves);
    if (news.curves) curves.classList.toggle("sl-none", !news.curves.length);
    if (!news.samples || String(news.samples) === String(steps)) return;
    steps = news.samples;
    pick.max = steps.length - 1;
    pick.hidden = steps.length < 2;
    if (!steps.length) samples.classList.add("sl-none");
    else if (newest) {
      pick.value = steps.length - 1;
      show(steps.at(-1));
    }
  }

  function write(news) {
    mark = news.mark;
    if (news.text === undefined) return;
    const end = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    log.textContent = news.text;
    logged.classList.toggle("sl-none", !news.text);
    if (end) log.scrollTop = log.scrollHeight;
  }

  function request() {
    const rows = Object.entries(job.changed).map(([k, v]) =>
      make("div", {}, make("dt", {}, k), make("dd", {}, v)),
    );
    fresh(requested, make("h2", {}, "Request"), make("dl", {}, ...rows));
  }

  async function look() {
    const mine = id;
    const complain = (sentence) => mine === id && still.say(sentence, "error");
    const answer = await ask("job", { id, seen, log: mark }, complain);
    if (!answer || mine !== id) return answer;
    job = answer.job;
    now = answer.now;
    live = answer.live;
    seen = live.seen;
    last = answer.actions;
    element.hidden = false;
    describe();
    measure();
    buttons(last);
    follow(live);
    write(answer.log);
    results.show(job, answer.results);
    request();
    return answer;
  }

  return {
    look,
    open(other) {
      if (id === other) return;
      id = other;
      [seen, mark, steps, newest, sure] = [-1, "", [], true, null];
      element.hidden = true;
      samples.classList.add("sl-none");
      results.clear();
      plot.show([]);
      curves.classList.add("sl-none");
    },
    get id() {
      return id;
    },
    get job() {
      return job;
    },
  };
};
