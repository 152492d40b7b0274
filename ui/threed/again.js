"use strict";
/* Jobs that continue a finished thing: another threshold, more rounds, another candidate. */

/* A new job that starts from this one, with its other fields unchanged. */
still.goOn = (job, { ask, started }) => async (fields) => {
  const { seeds, threshold, pick, picture, ...same } = job.changed; // these belong to the first run, not to one that continues it
  const values = { ...same, start: job.id, ...fields };
  const answer = await ask("job_submit", { kind: "threed", values, parent: job.id });
  if (answer) started(answer.id);
};

/* The mesh, a threshold slider that shows its surface at once, and buttons that start the jobs. */
still.shows.solid = (context) => {
  const { make } = still;
  const { ask } = context;
  const [LOW, HIGH, STEPS] = [0.6, 30, 60];
  const MORE = 10; // further rounds
  const at = (step) => LOW * (HIGH / LOW) ** (step / STEPS);
  const home = make("div", {});
  const slider = make("input", { type: "range", min: 0, max: STEPS, step: 1, id: "threshold", className: "sl-steps" });
  const words = make("p", { className: "sl-note", role: "status" });
  const cut = make("button", { disabled: true, title: "A new job: the same field, cut there" }, "Cut it here");
  const back = make("button", { hidden: true }, "Back to the finished mesh");
  const more = make("button", { title: `A new job: the teacher is asked ${MORE} times more` }, "More rounds");
  const acts = make("div", { className: "sl-acts" }, cut, back, more);
  const label = make("label", { className: "sl-label", htmlFor: "threshold" }, "Threshold of the surface");
  const card = make("section", { className: "sl-card" }, make("h2", {}, "The mesh"), home, label, slider, words, acts);
  let viewer = null,
    bytes = null,
    shown = null,
    job = null,
    timer = 0;

  const sentence = (threshold) => `Where the density is ${threshold.toPrecision(3)}.`;
  function finished() {
    clearTimeout(timer);
    const place = (STEPS * Math.log(shown.threshold / LOW)) / Math.log(HIGH / LOW);
    slider.value = Math.round(place);
    words.textContent = sentence(shown.threshold);
    cut.disabled = back.hidden = true;
    if (bytes) viewer.open(bytes);
  }

  async function tried(turn) {
    const threshold = at(Number(slider.value));
    const complain = (text) => (words.textContent = `${sentence(threshold)} ${text[0].toUpperCase()}${text.slice(1)}.`);
    const answer = await ask("trial", { id: job.id, threshold }, complain);
    if (turn !== timer) return; // the slider has moved since
    cut.disabled = !answer;
    if (!answer) return;
    viewer.show({
      positions: new Float32Array(still.bytesOf(answer.positions)),
      normals: new Float32Array(still.bytesOf(answer.normals)),
      corners: new Uint32Array(still.bytesOf(answer.corners)),
      places: null,
      picture: null,
    });
    words.textContent = `${sentence(threshold)} Its silhouettes would be ${Math.round(100 * answer.agreement)} % those of the field.`;
  }
  slider.addEventListener("input", () => {
    back.hidden = false;
    cut.disabled = true;
    clearTimeout(timer);
    const turn = (timer = setTimeout(() => tried(turn), 150));
  });
  back.addEventListener("click", finished);
  cut.addEventListener("click", () =>
    still.goOn(job, context)({ rounds: "0", threshold: at(Number(slider.value)).toPrecision(4) }),
  );
  more.addEventListener("click", () => still.goOn(job, context)({ rounds: String(MORE) }));

  card.show = async (of, result) => {
    if (shown?.path === result.path) return;
    [job, shown] = [of, result];
    viewer = still.viewer(result.name);
    home.replaceChildren(viewer.element);
    more.hidden = !result.more; // an inflated picture has no rounds
    finished();
    const answer = await ask("job_result", { id: of.id, path: result.path });
    if (!answer) return;
    bytes = still.bytesOf(answer.src);
    viewer.open(bytes);
  };
  return card;
};

/* The candidates side by side: press one to make it the mesh. */
still.shows.seeds = (context) => {
  const { make } = still;
  const { ask } = context;
  const row = make("div", { className: "sl-seeds" });
  const note = make("p", { className: "sl-note" }, "The framed one became the mesh. Press another to make it the mesh instead.");
  const card = make("section", { className: "sl-card" }, make("h2", {}, "Its seeds"), row, note);
  let shown = null;
  card.show = async (job, { path, count, best }) => {
    if (shown === path) return;
    shown = path;
    const answer = await ask("job_result", { id: job.id, path });
    if (!answer) return;
    const one = (n) => {
      const words = n === best ? `Seed ${n + 1}, which became the mesh` : `Make seed ${n + 1} the mesh`;
      const act = () => still.goOn(job, context)({ rounds: "0", pick: String(n) });
      const button = make("button", { className: "sl-seed", title: words, ariaLabel: words, disabled: n === best, onclick: act });
      button.style.backgroundImage = `url(${answer.src})`;
      button.style.backgroundSize = `${100 * count}% 100%`;
      button.style.backgroundPosition = `${count > 1 ? (100 * n) / (count - 1) : 0}% 0`;
      return button;
    };
    row.replaceChildren(...Array.from({ length: count }, (_, n) => one(n)));
  };
  return card;
};
