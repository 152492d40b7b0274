"use strict";
/* The close-up: one picture as large as the window allows, its settings, and its actions. */

still.closeup = (() => {
  const { make, actions } = still;
  const image = make("img", { className: "sl-large", alt: "" });
  const text = make("p", { className: "sl-said", dir: "auto" });
  const reading = make("p", { className: "sl-facts sl-reading", dir: "auto" });
  const facts = make("p", { className: "sl-facts" });
  const row = make("div", { className: "sl-actions" });
  const size = make("select", { className: "sl-select sl-sizes", ariaLabel: "Size", onchange: look });
  const corner = (words, title, onclick) => make("button", { className: "sl-corner", title, ariaLabel: title, onclick }, words);
  const walk = make(
    "div",
    { className: "sl-walk" },
    corner("‹", "Previous picture (←)", () => step(-1)),
    corner("›", "Next picture (→)", () => step(1)),
    corner("×", "Close (Esc)", () => dialog.close()),
  );
  const dialog = make(
    "dialog",
    { className: "sl-closeup", ariaLabel: "Picture", onclick: (e) => e.target === dialog && dialog.close() },
    image,
    make("div", { className: "sl-about" }, walk, text, reading, facts, size, row),
  );
  const help = make("dialog", { className: "sl-help", ariaLabel: "Keys", onclick: () => help.close() });

  const THUMB = 256; // pixels on a side, as ui/gallery.py makes them
  let pictures = [];
  let index = 0;
  let sure = false;

  function show() {
    const p = pictures[index];
    const r = p.request;
    sure = false;
    image.src = p.look?.src ?? p.full ?? p.src;
    const read = p.text ?? r.prompt; // wildcards chosen, emoji named, the style's words around it
    image.alt = `${read}, seed ${r.seed}`;
    text.textContent = r.prompt;
    reading.textContent = read === r.prompt ? "" : `Read as: ${read}`;
    const near = r.variation ? [`${Math.round(r.variation * 100)} % towards noise ${r.variation_seed}`] : [];
    if (r.turn || r.azimuth) near.push(`seen from ${Math.round(r.azimuth)}°`);
    const made = [r.model, still.plural(r.steps, "step"), `guidance ${r.guidance}`, `seed ${r.seed}`, ...near];
    facts.textContent = [...made, `${(p.look ?? p).width} × ${(p.look ?? p).height} pixels`].join(" · ");
    fill(p);
    const focus = [...row.children].indexOf(document.activeElement);
    row.replaceChildren(...buttons(p));
    row.children[focus]?.focus();
    if (p.id && !p.full && p.width > THUMB) sharpen(p);
  }

  /* The choice of size and enlarger: the box's own, its teacher, or none. */
  function fill(p) {
    const { width, height, enlarge, enlarger } = { ...p.request, ...p.look?.wanted };
    size.hidden = !(p.request.enlarge > 1);
    const side = (times) => `${width * times} × ${height * times}`;
    const options = still.closeup.enlargers.map(({ id, label, reason }) =>
      make("option", { value: id, disabled: Boolean(reason) }, `${side(p.request.enlarge)}, ${label}${reason ? `. ${reason}` : ""}`),
    );
    size.replaceChildren(...options, make("option", { value: "" }, `${side(1)}, as it was painted`));
    size.value = enlarge > 1 ? enlarger : "";
  }

  async function look() {
    const p = pictures[index],
      enlarger = size.value;
    const wanted = enlarger ? { enlarge: p.request.enlarge, enlarger } : { enlarge: 1 };
    const answer = enlarger === p.request.enlarger ? null : await still.call("large", { request: { ...p.request, ...wanted } });
    p.look = answer && { wanted, ...answer };
    if (pictures[index] === p) show();
  }

  still.on("enlarged", (p) => dialog.open && pictures[index] === p && show());

  /* The gallery lists thumbnails; the full picture is loaded when the close-up shows it. */
  async function sharpen(p) {
    const answer = await still.call("full", { id: p.id });
    if (!answer) return;
    p.full = answer.src;
    if (pictures[index] === p) image.src = p.full;
  }

  function buttons(p) {
    const button = (label, title, onclick, className = "") => make("button", { title, onclick, className }, label);
    const form = document.querySelector("#create");
    const away = (act) => () => {
      if (form) dialog.close(); // else the page is left
      act(p);
    };
    const large = `${p.width * 4} × ${p.height * 4} pixels, resized: no new detail`;
    const here = [
      button(p.favourite ? "♥ Favourite" : "♡ Favourite", "F", () => actions.favourite(p)),
      button("Download", "PNG with its settings inside (D)", () => actions.download(p)),
      ...(p.request.enlarge > 1 ? [] : [button("Larger, resized 4×", large, () => actions.download(p, 4))]),
      button("More like this", "Variations of this picture (M)", away(actions.more)),
      button(form ? "Use its settings" : "Open on Create", "Copy prompt, model and seed into the form (U)", away(actions.settings)),
      ...(form ? [button("A|B", "Compare with another (C)", away(actions.compare))] : []),
      ...(form ? [button("Make it solid", "Inflated like a cushion, on the 3D page", away(actions.solid))] : []),
      button("Copy link", "Restores prompt, model and seed (L)", () => actions.link(p)),
    ];
    return p.id ? [...here, button("Delete", "Delete from the gallery (Delete)", remove, "sl-danger")] : here;
  }

  function remove(event) {
    if (!sure) {
      sure = true;
      event.target.textContent = "Really delete?";
      return;
    }
    dialog.close();
    actions.remove(pictures[index]);
  }

  function step(by) {
    index = (index + by + pictures.length) % pictures.length;
    show();
  }

  /* A finger that goes sideways walks on. */
  let begun = null;
  image.addEventListener("touchstart", ({ touches }) => (begun = touches.length === 1 ? touches[0] : null), { passive: true });
  image.addEventListener("touchend", ({ changedTouches: [end] }) => {
    if (!begun) return;
    const across = end.clientX - begun.clientX,
      along = end.clientY - begun.clientY;
    begun = null;
    if (Math.abs(across) > 40 && Math.abs(across) > 2 * Math.abs(along)) step(across < 0 ? 1 : -1);
  });

  still.on("open", (what) => {
    pictures = what.pictures.filter(Boolean);
    index = Math.max(0, pictures.indexOf(what.pictures[what.index]));
    show();
    if (!dialog.open) {
      dialog.showModal();
      history.pushState({ ...history.state, closeup: true }, ""); // Back closes it, as is usual on phones
    }
    still.emit("selected", { picture: pictures[index], pictures, index, walk: () => {} });
  });
  dialog.addEventListener("close", () => history.state?.closeup && history.back());
  addEventListener("popstate", () => {
    if (dialog.open && !history.state?.closeup) dialog.close();
    still.memory.point();
  });
  still.on("changed", () => {
    if (dialog.open) show();
  });

  /* The sheet of keys. */
  function sheet(lines) {
    const rows = lines.map(([key, what]) => make("div", {}, make("kbd", {}, key), make("span", {}, what)));
    help.replaceChildren(make("h2", {}, "Keys"), ...rows);
    help.showModal();
  }

  return {
    dialogs: [dialog, help],
    sheet,
    step,
    enlargers: [], // comes with the wall
    get open() {
      return dialog.open;
    },
    get picture() {
      return pictures[index];
    },
    close: () => dialog.close(),
    remove: () => row.querySelector(".sl-danger")?.click(),
  };
})();
