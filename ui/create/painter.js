"use strict";
/* Paints walls: one call to the server at a time, a few pictures each, always for the newest request.

   A chunk is as many pictures as take about a tenth of a second, so a newer prompt waits no longer than that; a model
   that is slower than that is told to stop between two steps. */

still.painter = (() => {
  const CHUNK_MS = 100,
    SLOW_MS = 1000,
    PATIENCE_MS = 200;
  let wanted = null,
    busy = false,
    since = 0,
    ticket = 0,
    pace = 60,
    timer = 0,
    typed = null;
  let wall = { request: null, pictures: [], complete: false, kept: false };

  const same = (a, b) => a !== null && JSON.stringify(a) === JSON.stringify(b);

  function want({ keep = false } = {}) {
    clearTimeout(timer);
    const request = { ...still.request };
    if (!String(request.prompt ?? "").trim()) {
      stop();
      return keep ? still.say("Type what you want to see.") : undefined;
    }
    if (!keep && !busy && wall.complete && same(wall.request, request)) return undefined;
    const reason = still.reasons[request.model];
    if (reason) return still.say(`${request.model} can't run here. ${reason}`, "error");
    if (!keep && !still.model.live) return still.say(`${request.model} is slow here: Ctrl+Enter paints.`);
    const start = () => {
      wanted = { request, keep, ticket: ++ticket, asked: performance.now(), typed };
      typed = null;
      if (busy && performance.now() - since > PATIENCE_MS) still.call("stop", { ticket: ticket - 1 });
      if (!busy) pump();
    };
    return !keep && pace > SLOW_MS ? (timer = setTimeout(start, 400)) : start();
  }

  /* Paint: keep what is asked for. A wall that is already kept is followed by new seeds, unless they are locked. */
  function paint() {
    const again = wall.kept && same(wall.request, still.request);
    if (again && busy) return;
    if (again && wall.complete) {
      if (still.locked) return void still.say("This wall is in the gallery. Unlock the seed to paint another.");
      still.roll({ paint: false });
      still.fire("seeds");
    }
    want({ keep: true });
  }

  function stop() {
    clearTimeout(timer);
    wanted = null;
    if (busy) still.call("stop", { ticket });
  }

  async function pump() {
    busy = true;
    still.emit("busy", true);
    try {
      while (wanted) {
        const job = wanted;
        wanted = null;
        await run(job);
      }
    } finally {
      busy = false;
      still.emit("busy", false);
    }
  }

  async function run(job) {
    const total = job.request.num_images,
      cost = { text: 0, denoise: 0, decode: 0, first: null };
    wall = { request: job.request, pictures: [], complete: false, kept: job.keep };
    still.emit("wall", { total, request: job.request });
    while (wall.pictures.length < total && !wanted) {
      const first = wall.pictures.length;
      const count = first === 0 ? 1 : Math.max(1, Math.min(total - first, Math.round(CHUNK_MS / pace)));
      since = performance.now();
      const waiting = setTimeout(() => watch(job), 400);
      const answer = await still.call("paint", {
        request: job.request,
        first,
        count,
        keep: job.keep,
        ticket: job.ticket,
      });
      clearTimeout(waiting);
      if (!answer) return void (wanted && still.say("")); // of what nobody wants any more nothing is said
      if (answer.stopped) return void (wanted || still.say("Stopped."));
      pace = (performance.now() - since) / answer.pictures.length;
      await show(job, answer, cost);
    }
    wall.complete = wall.pictures.length === total;
    if (wall.complete) report(job, total, cost);
    if (job.keep) still.emit("kept");
  }

  async function show(job, answer, cost) {
    for (const picture of answer.pictures) {
      wall.pictures.push(picture);
      await new Promise((shown) => still.emit("picture", { picture, shown }));
      if (cost.first === null) {
        cost.first = performance.now() - job.asked;
        if (job.typed !== null) performance.measure("keystroke", { start: job.typed, end: performance.now() });
      }
    }
    for (const key of ["text", "denoise", "decode"]) cost[key] += answer[key + "_ms"];
  }

  const seconds = (ms) => `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;

  function report(job, total, cost) {
    const took = performance.now() - job.asked;
    const ms = (x) => (x < 1000 ? `${x < 9.5 ? x.toFixed(1) : Math.round(x)} ms` : seconds(x));
    const parts = [
      `${still.plural(total, "picture")} in ${seconds(took)}`,
      `text ${ms(cost.text)}`,
      `denoiser ${ms(cost.denoise / total)}`,
      `decode ${ms(cost.decode / total)} each`,
    ];
    const students = new Set(wall.pictures.map((p) => p.route).filter((route) => route !== undefined));
    if (students.size) parts.push(`student ${[...students].map((route) => route + 1).join(", ")}`);
    still.emit("cost", {
      sentence: parts.join(" · "),
      each: `${ms(took / total)} a picture`,
      steps: still.plural(job.request.steps, "step"),
      model: job.request.model,
      first: cost.first,
    });
  }

  /* A call that takes long says what it waits for: its place among others, or the step it is at. */
  async function watch(job) {
    while (busy && wall.request === job.request) {
      const at = await still.call("where");
      if (!at || !busy || wall.request !== job.request) return;
      if (at.sentence) still.emit("cost", { sentence: at.sentence });
      await new Promise((later) => setTimeout(later, 400));
    }
  }

  return {
    want,
    paint,
    stop,
    typed: () => {
      typed = performance.now();
    },
    get wall() {
      return wall;
    },
    get busy() {
      return busy;
    },
    /* A wall that came with the page. */
    shown(request, pictures) {
      wall = { request, pictures, complete: true, kept: false };
    },
  };
})();
