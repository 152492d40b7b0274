"use strict";
/* The 3D page: the form of a thing (ui/jobs/start.js), and its downloads. */

/* The files, each fetched when its link is pressed, and the checklist of the mesh. */
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

/* Example prompts: toys, which the box's teacher knows from all sides, and two things of which it knows the front. */
still.parts.threed = (element, part) => {
  const { make } = still;
  const TRIES = ["a blue mug", "a teal rocket", "a brown teapot", "a yellow car", "a fox", "a pizza"];
  const viewer = still.viewer("an example");
  const heading = make("h2", {});
  const idle = make("div", { className: "sl-example", hidden: true }, heading, viewer.element);
  const notes = make("div", { className: "sl-notes", role: "status" });
  const chip = (text, act, title = "") => make("button", { type: "button", className: "sl-chip", title, onclick: act }, text);
  const tries = make("div", { className: "sl-chips" }, "try ", ...TRIES.map((t) => chip(t, () => page.form.write("prompt", t))));
  let timer = 0;

  /* The words of the prompt that the teacher does not know, with near ones, before the job starts. */
  function filled({ prompt = "" }) {
    clearTimeout(timer);
    const turn = (timer = setTimeout(async () => {
      const model = page.form.value("model");
      const answer = prompt ? await page.ask("words", { prompt, model }, () => {}) : { unknown: [] };
      if (!answer || turn !== timer) return;
      const line = ({ word, typed, near }) => {
        const swap = (n) => () => page.form.write("prompt", prompt.replace(typed, () => n));
        return make("p", {}, "The teacher doesn't know ", make("em", {}, word), ".", near.length ? " Did you mean " : "",
          ...near.map((n) => chip(n, swap(n), `Replace ${typed} by ${n}`)));
      };
      notes.replaceChildren(...answer.unknown.map(line));
    }, 250));
  }

  const page = still.startPage(element, part, {
    kind: "threed",
    title: "A new thing",
    button: "Make it",
    hint: "An object takes from less than a minute to several. The job goes on when this page is closed. A turntable, the mesh and its files appear here.",
    idle,
    filled,
  });
  page.page.querySelector(".sl-ask .sl-cost").before(tries, notes);

  /* Finished things below: one's own, and the examples. */
  const own = make("div", { className: "sl-strip sl-things", role: "group", ariaLabel: "Things made here" });
  const box = make("div", { className: "sl-strip sl-things", role: "group", ariaLabel: "Examples" });
  const more = make("button", { className: "sl-small sl-more", hidden: true, onclick: () => load(next) }, "Show more");
  const mine = make("section", { hidden: true }, make("h2", {}, "Made here"), own, more);
  const shelf = make("div", { className: "sl-shelf" }, mine, make("section", {}, make("h2", {}, "From the box"), box));
  page.page.append(shelf);
  let next = null;

  const tile = ({ name, src }, act) =>
    make("button", { className: "sl-thing", title: name, onclick: act },
      src ? make("img", { src, alt: "" }) : null, make("span", {}, name));

  async function example(name) {
    const answer = await page.ask("example", { name });
    if (!answer) return;
    heading.textContent = `${name[0].toUpperCase()}${name.slice(1)}, from the box.`;
    idle.hidden = false;
    viewer.open(still.bytesOf(answer.src));
  }

  async function load(before = null) {
    const answer = await page.ask("things", { before });
    if (!answer) return;
    const tiles = answer.things.map((thing) => tile(thing, () => page.go(thing.id)));
    if (before === null) own.replaceChildren(...tiles);
    else own.append(...tiles);
    next = answer.next;
    more.hidden = next === null;
    mine.hidden = !own.children.length;
    box.replaceChildren(...answer.examples.map((e) => tile(e, () => {
      page.rest();
      example(e.name);
    })));
    shelf.lastElementChild.hidden = !answer.examples.length;
    if (before === null && !own.children.length && answer.examples.length && idle.hidden) example(answer.examples[0].name);
  }
  still.on("made", () => load());
  load();
};
