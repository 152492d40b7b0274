"use strict";
/* 3D: a thing as a form (ui/jobs/start.js), and what there is to take away of it. */

/* Files that are fetched when somebody wants them, and what is true of the mesh. */
still.shows.thing = ({ ask }) => {
  const { make } = still;
  const facts = make("ul", { className: "sl-facts" });
  const acts = make("div", { className: "sl-acts" });
  const card = make("section", { className: "sl-card" }, make("h2", {}, "Take it away"), facts, acts);

  const button = (job, file) =>
    make(
      "button",
      {
        title: file.missing ? "It was removed from the studio folder." : file.path,
        disabled: file.missing,
        onclick: async () => {
          const answer = await ask("job_result", { id: job.id, path: file.path });
          if (answer) make("a", { href: answer.src, download: answer.name }).click();
        },
      },
      `${file.name} · ${still.size(file.bytes)}`,
    );

  card.show = (job, result) => {
    const key = JSON.stringify(result);
    if (card.dataset.key === key) return;
    card.dataset.key = key;
    facts.replaceChildren(...result.facts.map((sentence) => make("li", {}, sentence)));
    acts.replaceChildren(...result.files.map((file) => button(job, file)));
  };
  return card;
};

still.parts.threed = (element, part) =>
  still.startPage(element, part, {
    kind: "threed",
    title: "A new thing",
    button: "Make it",
    hint: "A thing takes from less than a minute to several, and goes on when this page is closed. A turntable, the mesh and its files appear here.",
  });
