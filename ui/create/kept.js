"use strict";
/* What was kept last, beside the wall, so that it is in sight on a screen of a laptop; the gallery below has all of it. */

still.kept = (() => {
  const { make } = still;
  const MOST = 8;
  const strip = make("div", { className: "sl-kept-strip" });
  const element = make(
    "nav",
    { className: "sl-kept-last", ariaLabel: "Kept last" },
    make("a", { className: "sl-kept-all", href: "#gallery-part", title: "To the gallery", onclick: below }, "Kept"),
    strip,
  );

  function below(event) {
    event.preventDefault(); // the address is the request's
    document.querySelector("#gallery-part").scrollIntoView({ behavior: "smooth" });
  }

  still.on("gallery", (pictures) => {
    const look = (index) => () => still.emit("open", { pictures, index });
    const small = (p, i) => {
      const name = `${p.text ?? p.request.prompt}, seed ${p.request.seed}`;
      return make("button", { title: name, ariaLabel: name, onclick: look(i) }, make("img", { src: p.src, alt: "" }));
    };
    const none = make("p", { className: "sl-note" }, "Nothing yet");
    strip.replaceChildren(...(pictures.length ? pictures.slice(0, MOST).map(small) : [none]));
  });
  return { element };
})();
