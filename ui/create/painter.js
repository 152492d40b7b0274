"use strict";
/* Paints walls by one call to the server at a time, a few pictures each, always for the newest request. For a base model of
   many steps a fast student of it drafts the wall at every keystroke; when the typing rests, the model itself paints it.

   A call is for as many pictures as take about a tenth of a second, and while somebody types for fewer, so a newer prompt
   waits no longer than that. A slower model is stopped between two steps. A wall that a reload or a stopped server
   interrupted is completed. */

still.painter = (() => {
  const CHUNK_MS = 100,
    TYPING_MS = 40,
    SLOW_MS = 1000,
    PATIENCE_MS = 200,
    REST_MS = 400;
  const EMPTY = { request: null, pictures: [], complete: false, kept: false, cut: false };
  let wanted = null, // the job that comes next
    newest = null, // the same until it ends or is stopped
    busy = false,
    since = 0,
    ticket = 0,
    timer = 0, // of a request that waits until the typing rests
    typed = null;
  const paces = {}; // milliseconds for a picture, by model
  let origin = null; // the picture whose variations the wall shows; it stands in their middle
  let wall = EMPTY; // `cut`: it ended before its last picture without a request to stop

  const sorted = (request) => JSON.stringify(Object.entries(request ?? {}).sort());
  const same = (a, b) => a !== null && sorted(a) === sorted(b);

  const pace = (model) => paces[model] ?? 60;

  /* What the quick student is asked for; it has its own guidance, and nothing else that only its base takes. */
  function drafted({ prompt, seed, num_images, style, even }) {
    return { prompt, seed, num_images, style, even, ...still.model.draft };
  }

  function rest(start) {
    timer = setTimeout(() => ((timer = 0), start()), REST_MS);
  }

  function unrest() {
    clearTimeout(timer);
    timer = 0;
  }

  function want({ keep = false } = {}) {
    unrest();
    const request = { ...still.request };
    if (!String(request.prompt ?? "").trim()) {
      stop();
      return keep ? still.say("Type what you want to see.") : undefined;
    }
    const again = same(wall.request, request);
    if (!keep && !busy && again && wall.complete) return undefined;
    if (same(newest?.request ?? null, request) && (newest.keep || !keep)) return undefined; // it is on its way
    const unfinished = !busy && again && wall.cut; // of a wall that a person waits for
    const reason = still.reasons[request.model];
    if (reason) return still.say(`${request.model} can't run here. ${reason}`, "error");
    if (!keep && !unfinished && !still.model.live) return still.say(`${request.model} is slow here: Enter paints.`);
    const start = (request, draft = false) => {
      const from = unfinished && (wall.kept || !keep) ? wall.pictures : [];
      wanted = { request, draft, keep: keep || (unfinished && wall.kept), ticket: ++ticket, since: performance.now(), typed, from };
      newest = wanted;
      typed = null;
      if (busy && performance.now() - since > PATIENCE_MS) still.call("stop", { ticket: ticket - 1 });
      if (!busy) pump();
    };
    const draft = typed !== null && still.model.draft;
    if (keep || unfinished || !(draft || pace(request.model) > SLOW_MS)) return start(request);
    if (draft) start(drafted(request), true);
    return rest(() => start(request));
  }

  /* Paint and keep. After a wall that is kept already, the next one has new seeds, unless the seed is locked. */
  function paint() {
    const again = wall.kept && same(wall.request, still.request);
    if (again && wall.complete) {
      if (still.locked)
        return void still.say("These pictures are in the gallery already. Press “Seed kept” to release the seed, then paint again.");
      still.roll({ paint: false });
      still.fire("seeds");
    }
    want({ keep: true });
  }

  function stop() {
    unrest();
    wanted = newest = null;
    if (busy) still.call("stop", { ticket });
  }

  async function pump() {
    busy = true;
    still.emit("busy", "painting …");
    try {
      while (wanted) {
        const job = wanted;
        wanted = null;
        await run(job);
        if (newest === job) newest = null;
      }
    } finally {
      busy = false;
      still.emit("busy", false);
    }
  }

  /* A wall of which nothing is painted yet but what the job goes on from. */
  const begun = ({ request, draft, from, keep }) => ({ request, draft, pictures: [...from], complete: false, kept: keep, cut: true });

  async function run(job) {
    const total = job.request.num_images,
      cost = { text: 0, denoise: 0, decode: 0, first: null };
    const before = wall;
    const { request, draft } = job;
    const mine = (wall = begun(job));
    const follows = before.draft && !draft && before.request.prompt === request.prompt && before.request.seed === request.seed;
    if (!job.from.length) still.emit("wall", { total, request, follows });
    const middle = original(request) ? Math.floor(total / 2) : total;
    while (mine.pictures.length < total && !wanted && wall === mine) {
      const first = mine.pictures.length;
      if (first === middle) {
        const { full, look, ...picture } = origin;
        await put(mine, { ...picture, index: middle, label: "original" });
        continue;
      }
      const room = first < middle ? middle - first : total - first;
      const chunk = performance.now() - (still.typed ?? -REST_MS) < REST_MS ? TYPING_MS : CHUNK_MS;
      const count = first === 0 ? 1 : Math.max(1, Math.min(room, Math.round(chunk / pace(request.model))));
      since = performance.now();
      const waiting = setTimeout(() => watch(mine), 400);
      const answer = await still.reach(still.server, "paint", {
        request: job.request,
        first,
        count,
        keep: job.keep,
        ticket: job.ticket,
      });
      clearTimeout(waiting);
      if (wall !== mine) return;
      if (!answer?.pictures) return void ended(mine, before, answer);
      paces[request.model] = (performance.now() - since) / answer.pictures.length;
      await show(mine, job, answer, cost);
    }
    if (wall !== mine) return;
    mine.complete = mine.pictures.length === total;
    if (mine.complete) {
      mine.cut = false;
      report(mine, job, total, cost);
      still.emit("finished", mine);
      if (job.keep) still.say(`${still.plural(total, "picture")} kept in the gallery.`);
    }
    if (job.keep) still.emit("kept");
  }

  /* After a stop, a refusal or a lost connection, painted pictures stay, without pictures of another wall between them. */
  function ended(mine, before, answer) {
    mine.cut = !answer;
    if (wanted) return; // no message about an older wall
    if (answer?.error) still.say(answer.error, "error");
    const done = mine.pictures.length;
    still.emit("cost", { sentence: done ? `${done} of ${still.plural(mine.request.num_images, "picture")}` : "" });
    if (!done && !mine.cut) wall = before;
    still.emit("ended", { done });
    if (answer?.stopped) still.say("Stopped.");
    if (done && mine.kept) still.emit("kept");
  }

  /* Whether a wall is of neighbours of the picture that is remembered. */
  function original(request) {
    if (!request.variation || !origin || request.num_images < 3) return false;
    const plain = ({ num_images, variation, variation_seed, enlarge, enlarger, ...rest }) => rest;
    return same(plain(origin.request), plain({ ...origin.request, ...request }));
  }

  function put(mine, picture) {
    mine.pictures.push(picture);
    return new Promise((shown) => still.emit("picture", { picture, shown }));
  }

  async function show(mine, job, answer, cost) {
    for (const picture of answer.pictures) {
      await put(mine, picture);
      if (cost.first === null) {
        cost.first = performance.now() - job.since;
        if (job.typed !== null) performance.measure("keystroke", { start: job.typed, end: performance.now() });
      }
    }
    for (const key of ["text", "denoise", "decode"]) cost[key] += answer[key + "_ms"];
  }

  const seconds = (ms) => `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;

  function report(mine, job, total, cost) {
    const took = performance.now() - job.since,
      painted = total - job.from.length;
    if (!painted) return;
    const ms = (x) => (x < 1000 ? `${x < 9.5 ? x.toFixed(1) : Math.round(x)} ms` : seconds(x));
    const sentence = `${still.plural(painted, "picture")} in ${seconds(took)}${mine.draft ? `, drafts by ${job.request.model}` : ""}`;
    const parts = [`text ${ms(cost.text)}`, `denoiser ${ms(cost.denoise / painted)}`, `decode ${ms(cost.decode / painted)} each`];
    const students = new Set(mine.pictures.map((p) => p.route).filter((route) => route !== undefined));
    if (students.size) parts.push(`student ${[...students].map((route) => route + 1).join(", ")}`);
    still.emit("cost", {
      sentence,
      details: parts.join(" · "),
      each: `${ms(took / painted)} a picture`,
      steps: still.plural(job.request.steps, "step"),
      model: job.request.model,
      first: cost.first,
    });
  }

  /* A long call shows what it waits for: its place in the queue, or its current step. */
  async function watch(mine) {
    while (busy && wall === mine) {
      const at = await still.call("where");
      if (!at || !busy || wall !== mine) return;
      if (at.sentence) still.emit("cost", { sentence: at.sentence });
      if (at.look) still.emit("look", { index: mine.pictures.length, src: at.look });
      await new Promise((later) => setTimeout(later, 400));
    }
  }

  still.on("link", (up) => up && wall.cut && want());

  return {
    want,
    paint,
    stop,
    same,
    typed: () => {
      typed = still.typed = performance.now();
    },
    get wall() {
      return wall;
    },
    /* What a page that is left should find again: the wall that was to come next, else the one that is here. */
    get left() {
      return wanted ? begun(wanted) : wall;
    },
    get busy() {
      return busy || timer !== 0;
    },
    set origin(picture) {
      origin = picture;
    },
    /* A wall that came with the page. */
    shown(request, pictures) {
      wall = { ...EMPTY, request, pictures, complete: true };
    },
    /* Show an earlier wall in place of the present one. */
    adopt(old) {
      stop();
      wall = { ...EMPTY, ...old, pictures: [...old.pictures] };
      still.emit("wall", { total: wall.request.num_images, request: wall.request });
      return Promise.all(
        wall.pictures.map((picture) => new Promise((shown) => still.emit("picture", { picture, shown }))),
      ).then(() => still.emit("ended", { done: old.pictures.length }));
    },
  };
})();
