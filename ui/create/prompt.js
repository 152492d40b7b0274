"use strict";
/* The prompt: every keystroke paints, and parts that the model does not read are marked.

   A mirror behind the textarea draws the wavy lines and sets the box's height. Notes and examples have lines of their own.
   The line of notes is there even when empty, so that the wall does not jump while one types. */

still.parts.prompt = (element, part) => {
  const { make } = still;
  still.adopt(part);
  const mirror = make("div", { className: "sl-mirror", ariaHidden: "true", dir: "auto" });
  const area = make("textarea", {
    id: "prompt",
    rows: 1,
    spellcheck: false,
    ariaLabel: "Prompt",
    dir: "auto",
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
  const paint = make("button", { className: "sl-go", onclick: () => still.painter.paint() });
  const notes = make("div", { className: "sl-notes", role: "status" });
  const tries = make("div", { className: "sl-chips sl-tries" }, "Looking up what this model knows …");
  const offers = still.offers(area, (text) => (write(text), area.focus()));
  element.replaceChildren(
    make("div", { className: "sl-prompt" }, make("div", { className: "sl-box" }, mirror, area, offers), stop, paint),
    notes,
    tries,
    still.picker.element,
  );

  let reading = { unknown: [], notes: [], read: null },
    timer = 0,
    lookedUp = "",
    suggested = "";

  // A longer prompt is cut so that the server still refuses it. The server counts characters; one may take two UTF-16 units.
  const promptText = () => Array.from(area.value.slice(0, 4002)).slice(0, 2001).join("");

  /* A pattern that finds these texts; a text that begins or ends with a letter is only found as whole words. */
  function finding(texts) {
    const inWord = "[\\p{L}\\p{M}\\p{N}]";
    const one = (text) => {
      const plain = text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      const before = /^\p{L}/u.test(text) ? `(?<!${inWord})` : "";
      const after = /[\p{L}\p{M}]$/u.test(text) ? `(?!${inWord})` : "";
      return before + plain + after;
    };
    return new RegExp(`(${texts.map(one).join("|")})`, "giu");
  }

  function reflect() {
    const characters = Array.from(promptText());
    const end = reading.read ?? characters.length;
    const odd = [...reading.unknown.map((u) => u.typed), ...reading.notes.flatMap((note) => note.marks)];
    const text = characters.slice(0, end).join("");
    const pieces = odd.length ? text.split(finding(odd)) : [text]; // every second one was found
    const span = (className, piece) => make("span", { className }, piece);
    mirror.replaceChildren(
      ...pieces.map((piece, i) => (i % 2 ? span("sl-odd", piece) : piece)),
      span("sl-unread", characters.slice(end).join("")),
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
    still.set({ prompt: promptText() });
    look();
  }

  function swap(typed, near) {
    write(area.value.replace(finding([typed]), near));
    area.focus();
  }

  function note() {
    const strange = reading.unknown.map(({ word, typed, near }) => {
      const choices = near.map((n) => chip(n, () => swap(typed, n), `Replace ${typed} by ${n}`));
      const asks = choices.length ? " Did you mean " : "";
      return make("p", {}, "This model doesn't know ", make("em", { dir: "auto" }, word), `.${asks}`, ...choices);
    });
    notes.replaceChildren(...strange, ...reading.notes.map(({ sentence }) => make("p", { dir: "auto" }, sentence)));
    reflect();
  }

  /* Words are looked up when the typing pauses, so that the look-up does not delay a picture. */
  function look() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      lookedUp = `${still.request.model}/${promptText()}`;
      const mine = lookedUp;
      const { model, style, loras = "" } = still.request;
      const answer = await still.call("words", { prompt: promptText(), model, style, loras });
      if (mine !== lookedUp) return;
      if (!answer) return !suggested && tries.replaceChildren(); // they are not being looked up any more
      reading = answer;
      note();
      suggest(answer);
    }, 180);
  }

  /* A few example prompts, and the picker of the model's words. */
  function suggest(answer) {
    if (suggested === still.request.model) return;
    suggested = still.request.model;
    const words = Object.entries(answer.knows);
    const open = chip("What can I type? ▾", still.picker.toggle, "Everything that this model was trained on, with pictures");
    tries.replaceChildren(
      ...(words.length ? [open] : []),
      "try ",
      ...answer.tries.map((t) => chip(t, () => write(t))),
    );
    const line = ([group, of]) =>
      make("div", { className: "sl-chips" }, make("span", {}, `${group} `, ...of.map((word) => chip(word, () => append(word)))));
    still.picker.fetch(still.request.model, words.map(line));
  }

  const append = (word) => write(`${area.value.trimEnd()} ${word}`.trimStart());
  still.picker.pick = append;

  /* Enter paints and keeps; Shift+Enter starts a new line. */
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.shiftKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    still.painter.paint();
  });
  area.addEventListener("input", () => {
    still.touched = true;
    still.painter.typed();
    reflect();
    still.set({ prompt: promptText() });
    look();
  });
  still.on("restored", (request) => {
    if (area.value !== request.prompt) area.value = request.prompt;
    reading = { unknown: [], notes: [], read: null };
    note();
    look();
  });
  /* What the button does now. */
  function name() {
    const { wall } = still.painter;
    const here = still.painter.same(wall.request, still.request);
    const [label, title] =
      here && wall.kept
        ? ["New ones", "Paint the same words with new seeds, and keep those (Enter)"]
        : here || still.model.live
          ? ["Keep these", "Keep the pictures in the gallery (Enter)"]
          : ["Paint", "Paint, and keep the pictures (Enter)"];
    Object.assign(paint, { textContent: label, title });
  }
  for (const event of ["request", "model", "wall", "finished", "ended", "busy"]) still.on(event, name);
  name();

  still.on("busy", (busy) => {
    stop.disabled = !busy;
    paint.classList.toggle("sl-busy", busy);
  });
  if (still.request.prompt) area.value = still.request.prompt;
  reflect();
};
