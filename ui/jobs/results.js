"use strict";
/* The results of a job: `still.shows.<name>({ask, changed, started})`, which the job's kind names, gives an element whose
   `show(job, result)` is called at every look; `started(id)` goes to a job that it started. A kind brings its own beside its tab. */

/* Outputs that are listed, not shown. */
still.shows.files = () => {
  const { make } = still;
  const list = make("dl");
  const card = make("section", { className: "sl-card" }, make("h2", {}, "Result"), list);
  const row = (f) =>
    make("div", {}, make("dt", {}, f.path), make("dd", {}, f.missing ? "removed since" : still.size(f.bytes)));
  card.show = (job, result) => list.replaceChildren(...result.files.map(row));
  return card;
};

/* A picture, fetched once. */
still.shows.picture = ({ ask }) => {
  const { make } = still;
  const image = make("img", { className: "sl-grid", alt: "" });
  const link = make("a", { className: "sl-link" });
  const card = make("section", { className: "sl-card" }, make("h2", {}, "Result"), image, link);
  let shown = null;
  card.show = async (job, result) => {
    if (shown === result.path) return;
    shown = result.path;
    const answer = await ask("job_result", { id: job.id, path: result.path });
    if (!answer) return;
    Object.assign(image, { src: answer.src, alt: result.path });
    Object.assign(link, { href: answer.src, download: answer.name, textContent: answer.name });
  };
  return card;
};

/* The results of a job inside an element, with a card for each, which is kept as long as its result exists. */
still.results = (element, context) => {
  const cards = new Map();
  return {
    clear() {
      cards.clear();
      element.replaceChildren();
    },
    show(job, results) {
      const kept = results.map((result) => {
        const key = `${result.show} ${result.path ?? ""}`;
        if (!cards.has(key)) cards.set(key, still.shows[result.show](context));
        const card = cards.get(key);
        card.show(job, result);
        return card;
      });
      if (kept.length !== element.children.length || kept.some((card, i) => card !== element.children[i]))
        element.replaceChildren(...kept);
    },
  };
};
