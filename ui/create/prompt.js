"use strict";
/* The prompt: the largest text of the page, a picture at every keystroke, and words that the model has never seen.

   A mirror behind the textarea draws the wavy lines and gives the box its height. */

still.parts.prompt = (element, part) => {
  const { make } = still;
  still.adopt(part);
  const mirror = make("div", { className: "sl-mirror", ariaHidden: "true" });
  const area = make("textarea", {
    id: "prompt",
    rows: 1,
    spellcheck: false,
    ariaLabel: "Prompt",
    placeholder: "Type what you want to see",
    autocomplete: "off",
    autocapitalize: "off",
    enterkeyhint: "go",
  });
  const stop = make(
    "button",
    { className: "sl-stop", title: "Stop (Esc)", disabled: true, onclick: () => still.painter.stop() },
    "Stop",
  );
  const paint = make(
    "button",
    { className: "sl-go", title: "Paint and keep (Ctrl+Enter)", onclick: () => still.painter.paint() },
    "Paint",
  );
  const unknown = make("span", { className: "sl-unknown-note", role: "status" });
  const tries = make("span", { className: "sl-tries" });
  const knows = make("div", { className: "sl-knows", hidden: true });
  element.replaceChildren(
    make("div", { className: "sl-prompt" }, make("div", { className: "sl-box" }, mirror, area), stop, paint),
    make("div", { className: "sl-chips" }, unknown, tries),
    knows,
  );

  let odd = [],
    timer = 0,
    asked = "",
    suggested = "";

  // Of a longer one enough to be refused: characters as the server counts them, of which one may take two units.
  const said = () => Array.from(area.value.slice(0, 4002)).slice(0, 2001).join("");

  function reflect() {
    const words = new Set(odd.map((o) => o.word));
    const pieces = said().split(/([\p{L}\p{N}'’-]+)/u);
    mirror.replaceChildren(
      ...pieces.map((p) => (words.has(p.toLowerCase()) ? make("span", { className: "sl-odd" }, p) : p)),
      "\u200b",
    );
  }

  function chip(text, act, title = "") {
    return make("button", { className: "sl-chip", title, onclick: act }, text);
  }

  function write(text) {
    area.value = text;
    reflect();
    still.painter.typed();
    still.set({ prompt: said() });
    look();
  }

  function swap(word, near) {
    const pattern = new RegExp(
      `(?<![\\p{L}\\p{N}])${word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?![\\p{L}\\p{N}])`,
      "giu",
    );
    write(area.value.replace(pattern, near));
    area.focus();
  }

  function note() {
    const first = odd
      .slice(0, 2)
      .map(({ word, near }) => [
        "this model never saw ",
        make("em", {}, word),
        near.length ? "; close: " : ". ",
        ...near.map((n) => chip(n, () => swap(word, n), `Put ${n} for ${word}`)),
      ]);
    unknown.replaceChildren(...first.flat());
    reflect();
  }

  /* Words are looked up when the typing rests, so that it never stands before a picture. */
  function look() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      asked = `${still.request.model}/${said()}`;
      const mine = asked;
      const answer = await still.call("words", { prompt: said(), model: still.request.model });
      if (!answer || mine !== asked) return;
      odd = answer.unknown;
      note();
      suggest(answer);
    }, 180);
  }

  /* A few prompts to try, and some of the model's words by what they name. */
  function suggest(answer) {
    if (suggested === still.request.model) return;
    suggested = still.request.model;
    const words = Object.entries(answer.knows);
    const open = chip(
      "words it knows ▾",
      () => {
        knows.hidden = !knows.hidden;
      },
      "Some of the words that this model was trained on, by what they name",
    );
    tries.replaceChildren(
      "try ",
      ...answer.tries.map((t) => chip(t, () => write(t))),
      ...(words.length ? [open] : []),
    );
    const append = (word) => write(`${area.value.trimEnd()} ${word}`.trimStart());
    knows.replaceChildren(
      ...words.map(([group, of]) =>
        make(
          "div",
          { className: "sl-chips" },
          make("span", {}, `${group} `, ...of.map((word) => chip(word, () => append(word)))),
        ),
      ),
    );
  }

  area.addEventListener("input", () => {
    still.touched = true;
    still.painter.typed();
    reflect();
    still.set({ prompt: said() });
    look();
  });
  still.on("restored", (request) => {
    if (area.value !== request.prompt) area.value = request.prompt;
    odd = [];
    note();
    look();
  });
  still.on("busy", (busy) => {
    stop.disabled = !busy;
    paint.classList.toggle("sl-busy", busy);
  });
  if (still.request.prompt) area.value = still.request.prompt;
  reflect();
};
