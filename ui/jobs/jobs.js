"use strict";
/* The Jobs page: running, waiting and ended jobs, and one job beside them. Its id is in the address, so that a reload,
   another browser or a restarted server shows the same job; the page updates itself. */

/* Calls a server function of a page with jobs, and shows mistakes. The header shows a lost connection (status.js). */
still.asker =
  (server) =>
  async (name, data = {}, complain = (sentence) => still.say(sentence, "error")) => {
    const answer = await still.reach(server, name, data);
    if (answer?.error) complain(answer.error);
    return !answer || answer.error ? null : answer;
  };

/* Calls f repeatedly while the page is visible; f returns the milliseconds to the next call. */
still.often = (f) => {
  let timer = 0,
    running = false;
  async function turn() {
    clearTimeout(timer);
    if (running || document.hidden) return;
    running = true;
    const wait = await f().finally(() => (running = false));
    timer = setTimeout(turn, wait);
  }
  document.addEventListener("visibilitychange", turn);
  turn();
  return turn;
};

still.parts.jobs = (element, part) => {
  const { make, count } = still;
  const ask = still.asker(part.server);
  const trouble = make("p", { className: "sl-note sl-trouble" });
  const list = make("nav", { className: "sl-jobs", ariaLabel: "Jobs" });
  const empty = make("p", { className: "sl-note" });
  const more = make("button", { className: "sl-small sl-more", hidden: true, onclick: older }, "Show more");
  const groups = ["All", "Active", "Ended"];
  const segments = make("div", { className: "sl-segments", role: "group", ariaLabel: "Which jobs" });
  const detail = make("div", { className: "sl-job", id: "job", hidden: true });
  const back = make("a", { className: "sl-back", href: "./jobs" }, "‹ All jobs");
  const body = make(
    "div",
    { className: "sl-jobspage" },
    make("div", { className: "sl-joblist" }, segments, trouble, list, empty, more),
    make("div", { className: "sl-jobside" }, back, detail),
  );
  element.replaceChildren(body);
  let group = "All",
    tag = "",
    page = { active: [], ended: [], counts: {} },
    further = [],
    now = 0;
  const view = still.jobView(detail, {
    ask,
    gone: () => go(null),
    changed: () => turn(),
    started: (id) => go(id),
  });

  segments.replaceChildren(
    ...groups.map((g) => make("button", { ariaPressed: String(g === group), onclick: () => filter(g) }, g)),
  );
  function filter(g) {
    group = g;
    for (const b of segments.children) b.ariaPressed = String(b.textContent === g);
    draw();
  }

  const linked = () => new URLSearchParams(location.search).get("id");
  function go(id) {
    const query = new URLSearchParams(location.search);
    if (id) query.set("id", id);
    else query.delete("id");
    history.pushState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
    place();
  }
  function place() {
    const id = linked();
    body.classList.toggle("sl-one", Boolean(id));
    if (id) view.open(id);
    still.say("");
    draw();
    turn();
  }
  addEventListener("popstate", place);
  back.addEventListener("click", (event) => {
    event.preventDefault();
    go(null);
  });

  /* A row keeps its element while its job changes, so that clicks and focus are not lost. */
  const rows = new Map();
  function item(job, place) {
    const running = job.state === "running";
    const left = running && job.seconds_left ? `${still.lasted(job.seconds_left)} left` : "";
    const note = running ? left : job.ended ? still.when(job.ended, now) : place;
    const words = still.jobWords(job);
    const open = (event) => {
      if (event.metaKey || event.ctrlKey) return;
      event.preventDefault();
      go(job.id);
    };
    const made =
      rows.get(job.id) ??
      make("a", { className: "sl-jobrow", href: `./jobs?id=${job.id}`, onclick: open, data: { id: job.id } });
    rows.set(job.id, made);
    made.classList.toggle("sl-on", job.id === shownId());
    const key = JSON.stringify([job.state, job.title, note, words, running && job.step]);
    if (made.dataset.key === key) return made;
    Object.assign(made.dataset, { key, state: job.state });
    const filled = make("u", { style: `width:${job.total ? (100 * (job.step ?? 0)) / job.total : 0}%` });
    made.replaceChildren(
      still.jobDot(job),
      make("b", {}, job.title, make("i", { className: "sl-id" }, job.id.slice(0, 4))),
      make("em", {}, note),
      make("small", {}, words),
      ...(running ? [make("span", { className: "sl-thin" }, filled)] : []),
    );
    return made;
  }

  const shownId = () => linked() ?? view.id;
  /* Places in the queue are known only while all waiting jobs have one owner. */
  function places() {
    const waiting = page.active.filter((j) => j.state === "queued");
    const alone = new Set(waiting.map((j) => j.owner)).size < 2;
    const word = (i) =>
      i === 0
        ? "next"
        : `${i + 1}${i % 100 >= 10 && i % 100 <= 12 ? "th" : (["th", "st", "nd", "rd"][(i + 1) % 10] ?? "th")}`;
    return new Map(alone ? waiting.map((j, i) => [j.id, word(i)]) : []);
  }

  function draw() {
    const order = places();
    const shown = [
      ...(group === "Ended" ? [] : page.active),
      ...(group === "Active" ? [] : [...page.ended, ...further]),
    ];
    const items = shown.map((j) => item(j, order.get(j.id) ?? ""));
    if (items.length !== list.children.length || items.some((made, i) => made !== list.children[i]))
      list.replaceChildren(...items);
    more.hidden = group === "Active" || !page.next;
    empty.textContent = shown.length ? "" : nothing();
    trouble.textContent = page.trouble ?? "";
  }

  function nothing() {
    const what = { All: "No job yet.", Active: "No job is running or queued.", Ended: "No job has ended yet." }[group];
    return [what, ...(page.begin ?? [])].join(" ");
  }

  function head() {
    const { running = 0, queued = 0 } = page.counts;
    const words = [running && `${count(running)} running`, queued && `${count(queued)} waiting`]
      .filter(Boolean)
      .join(", ");
    still.emit("busy", running > 0);
    still.emit("cost", {
      each: words || "nothing runs",
      steps: page.disk ? onDisk(page.disk) : "",
    });
  }

  function onDisk({ used, allowed, drawn }) {
    const runs = `${still.size(used)} of ${still.size(allowed)}`;
    return drawn ? `${runs}, and ${still.size(drawn)} drawn for them` : runs;
  }

  async function older() {
    const answer = await ask("jobs_page", { before: page.next });
    if (!answer) return;
    further = [...further, ...answer.ended];
    page.next = answer.next;
    draw();
  }

  async function refresh() {
    const answer = await ask("jobs_page", { tag });
    if (!answer) return false;
    now = answer.now;
    if (answer.counts === undefined) return true;
    tag = answer.tag;
    const kept = new Set([...answer.active, ...answer.ended].map((j) => j.id));
    further = further.filter((j) => !kept.has(j.id));
    page = { ...answer, next: further.length ? page.next : answer.next };
    head();
    draw();
    return true;
  }

  async function each() {
    const there = await refresh();
    const wide = matchMedia("(min-width: 761px)").matches;
    const first = [...page.active, ...page.ended][0]?.id;
    if (!view.id && wide && first) view.open(first);
    if (there && view.id) {
      const answer = await view.look();
      if (!answer) detail.hidden = true;
      draw();
    }
    return page.counts.running || page.counts.queued ? 1000 : 4000;
  }

  if (linked()) view.open(linked());
  body.classList.toggle("sl-one", Boolean(linked()));
  const turn = still.often(each);
};
