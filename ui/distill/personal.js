"use strict";
/* Your own thing: pictures, a word and a start, on the Distill page. `go(id)` shows the job that was started. */

still.personal = (ask, go) => {
  const { make } = still;
  const SIDE = 128; // pixels, as the box's models have
  const FEWEST = 5,
    MOST = 20;
  const files = make("input", { type: "file", id: "own-files", accept: "image/png,image/jpeg,image/webp", multiple: true, hidden: true, onchange: () => taken([...files.files]) });
  const choose = make("button", { type: "button", className: "sl-quiet", id: "own-choose", onclick: () => files.click() }, "Choose pictures …");
  const strip = make("div", { className: "sl-own-strip", id: "own-strip" });
  const word = make("input", { id: "own-word", className: "sl-input", placeholder: "bobo", maxLength: 31, spellcheck: false, ariaLabel: "A name for it", oninput: show });
  const noun = make("input", { id: "own-noun", className: "sl-input", placeholder: "mug", maxLength: 31, spellcheck: false, ariaLabel: "What kind of thing it is" });
  const start = make("button", { type: "submit", className: "sl-go", id: "own-start" }, "Teach it");
  const note = make("p", { className: "sl-note", id: "own-note", role: "status" });
  let pictures = [];

  /* The middle square of a picture, small enough to be sent. */
  async function small(file) {
    const picture = await createImageBitmap(file);
    const side = Math.min(picture.width, picture.height);
    const canvas = make("canvas", { width: SIDE, height: SIDE });
    const pen = canvas.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, SIDE, SIDE);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side, 0, 0, SIDE, SIDE);
    return canvas.toDataURL("image/jpeg", 0.9);
  }

  async function taken(chosen) {
    const made = await Promise.allSettled(chosen.map(small));
    const broken = chosen.filter((_, k) => made[k].status === "rejected").map((file) => file.name);
    pictures = [...pictures, ...made.filter((one) => one.status === "fulfilled").map((one) => one.value)].slice(0, MOST);
    files.value = "";
    show();
    if (broken.length) note.textContent = `${broken.join(", ")} can't be read as a picture.`;
  }

  function show() {
    strip.replaceChildren(
      ...pictures.map((src, k) =>
        make("button", { type: "button", title: "Leave it out", ariaLabel: `Leave out picture ${k + 1}`, onclick: () => ((pictures = pictures.toSpliced(k, 1)), show()) }, make("img", { src, alt: "" })),
      ),
    );
    const few = pictures.length < FEWEST;
    start.disabled = few || !word.value.trim();
    note.textContent = few
      ? `${FEWEST} to ${MOST} pictures of one thing, from several sides and before several backgrounds.`
      : `${pictures.length} pictures. The base learns the word in about ten minutes; all of its students paint it then.`;
  }

  async function submit() {
    start.disabled = true;
    const data = { word: word.value.trim(), noun: noun.value.trim(), base: "toybox-sd", pictures };
    const answer = await ask("personal_start", data, (sentence) => (note.textContent = sentence));
    start.disabled = false;
    if (answer) go(answer.id);
  }

  show();
  return make(
    "form",
    { className: "sl-card sl-own", onsubmit: (e) => (e.preventDefault(), submit()) },
    make("h2", {}, "Your own thing"),
    make("div", { className: "sl-acts" }, choose, files),
    strip,
    make("label", { className: "sl-field" }, make("span", { className: "sl-label" }, "A name for it"), word),
    make("label", { className: "sl-field" }, make("span", { className: "sl-label" }, "What kind of thing it is (may be left out)"), noun),
    note,
    make("div", { className: "sl-acts" }, start),
  );
};
