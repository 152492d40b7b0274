"use strict";
/* The wall: a tile for each requested picture, filled one by one, with the actions of each. */

/* The actions of a picture of the wall or the gallery: {src, request, id, favourite, width, height}. */
still.actions = (() => {
  /* `look`: a size or enlarger chosen in the close-up. */
  const which = (p) => (p.look ? { request: { ...p.request, ...p.look.wanted } } : p.id ? { id: p.id } : { request: p.request });

  async function favourite(p) {
    const now = { favourite: !p.favourite };
    const shown = (favourite) => {
      p.favourite = favourite;
      still.emit("changed", { id: "", now: {} });
    };
    shown(now.favourite); // at once, as the server may need to load first
    const answer = await still.call("favourite", { ...which({ ...p, look: null }), on: now.favourite });
    if (!answer) return shown(!now.favourite);
    Object.assign(p, { id: answer.id }); // before the listeners that draw it
    still.emit("changed", { id: p.id, now });
    still.emit("kept");
  }

  async function download(p, scale = 1) {
    const answer = await still.call("download", { ...which(p), scale });
    if (!answer) return;
    const link = still.make("a", { href: answer.src, download: answer.name });
    link.click();
    if (scale > 1) still.say(`Resized from ${answer.from} to ${answer.to} pixels: smoother, no new detail.`);
  }

  /* On a page without the form of Create, goes to Create. */
  function toForm(request) {
    if (document.querySelector("#create")) return still.restore(request);
    return location.replace(`./${still.address(request)}`); // replaces the close-up's entry, so that Back leads here
  }

  /* Variations: the same picture with a part of its noise exchanged. */
  function more(p) {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
    const count = Math.max(4, still.request.num_images ?? 9);
    if (!p.request.variation) still.painter.origin = p; // those of a neighbour are again the original's
    toForm({ ...p.request, num_images: count, variation: 0.35, variation_seed: seed });
  }

  /* From the neighbours to the picture that they are neighbours of. */
  function back() {
    const { variation_seed, ...request } = still.request;
    still.restore({ ...request, variation: 0 });
  }

  function settings(p) {
    toForm({ ...p.request, num_images: still.request.num_images ?? p.request.num_images });
  }

  const link = (p) =>
    still.copy(
      new URL(`./${still.address(p.request)}`, location.href).href,
      "The link is copied: it restores prompt, model and seed.",
    );

  /* Two pictures make a comparison: the first is marked A and waits for the second. */
  let first = null;
  function compare(p) {
    if (first === null || first === p) {
      first = first === p ? null : p;
      still.emit("marked", first);
      return still.say(first ? "This is A. Choose another picture and press C, or its A|B, to compare." : "");
    }
    still.say("");
    still.fire("compare", { a: which(first), b: which(p), owner: still.owner });
    first = null;
    return still.emit("marked", null);
  }

  /* Submits a job of the 3D page. */
  async function solid(p) {
    const answer = await still.call("solid", which(p));
    if (answer) location.assign(`./threed?id=${answer.id}`);
  }

  async function remove(p) {
    const { id } = p;
    if (!id || !(await still.call("remove", { id }))) return;
    still.emit("changed", { id, now: { id: null, favourite: false } });
    still.emit("kept");
  }

  return {
    favourite,
    download,
    more,
    back,
    settings,
    link,
    compare,
    solid,
    remove,
    get marked() {
      return first;
    },
  };
})();

/* A tile: the whole picture, its label and its actions. */
still.tile = (p, { label, select, open }) => {
  const { make, actions } = still;
  const heart = make(
    "button",
    { title: "Favourite (F)", onclick: act(() => actions.favourite(p)) },
    "♡",
  );
  const download = make("button", { title: "Download (D)", onclick: act(() => actions.download(p)) }, "↧");
  const more = make("button", { title: "More (Enter)", onclick: act(open) }, "⋯");
  function act(f) {
    return (event) => {
      event.stopPropagation();
      select();
      f();
    };
  }
  const image = make("img", {
    alt: `${p.text ?? p.request.prompt}, seed ${p.request.seed}`,
    decoding: "sync",
    draggable: true,
    src: p.src,
  });
  const figure = make(
    "figure",
    { className: "sl-tile", role: "group", onclick: select, onfocus: select, ondblclick: open },
    image,
    make("figcaption", {}, label),
    make(
      "div",
      { className: "sl-act" },
      heart,
      download,
      more,
    ),
  );
  figure.ariaLabel = image.alt;
  for (const [button, what] of [[heart, "Favourite"], [download, "Download"], [more, "More"]])
    button.ariaLabel = `${what}: ${image.alt}`;
  /* Tab reaches one element of a group; the arrow keys go on from there. */
  figure.choose = (on, chosen = on) => {
    figure.classList.toggle("sl-on", chosen);
    figure.ariaCurrent = String(chosen);
    for (const stop of [figure, heart, download, more]) stop.tabIndex = on ? 0 : -1;
  };
  figure.choose(false);
  figure.refresh = () => {
    heart.textContent = p.favourite ? "♥" : "♡";
    heart.ariaPressed = String(Boolean(p.favourite));
    figure.classList.toggle("sl-loved", Boolean(p.favourite));
    figure.classList.toggle("sl-kept", Boolean(p.id) && !p.favourite);
    figure.classList.toggle("sl-marked", actions.marked === p);
  };
  figure.refresh();
  return figure;
};

/* A kept picture may be shown on the wall and in the gallery; both are updated. */
still.follow = (pictures, tiles) => {
  const refresh = () => tiles().forEach((tile) => tile.refresh?.());
  still.on("marked", refresh);
  still.on("changed", ({ id, now }) => {
    pictures()
      .filter((p) => p.id === id)
      .forEach((p) => Object.assign(p, now));
    refresh();
  });
};

still.parts.wall = (element, part) => {
  const { make } = still;
  still.adopt(part);
  const grid = make("div", { className: "sl-wall", id: "wall", role: "group", ariaLabel: "Pictures" });
  const cost = make("span", { id: "cost" });
  const keys = make("span", { className: "sl-keys" }, "← → to walk · F favourite · D download · ? all keys");
  const undo = make("button", { className: "sl-small", id: "undo", disabled: true, onclick: still.memory.undo }, "Undo");
  const redo = make("button", { className: "sl-small", id: "redo", disabled: true, onclick: still.memory.redo }, "Redo");
  still.on("history", ({ back, forth }) => {
    Object.assign(undo, { disabled: !back, title: back ? `Back to: ${back} (Ctrl+Z)` : "Nothing to undo" });
    Object.assign(redo, { disabled: !forth, title: forth ? `Forth to: ${forth} (Ctrl+Y)` : "Nothing to redo" });
  });
  const original = make("button", { className: "sl-small", id: "original", hidden: true, onclick: still.actions.back }, "Back to the original");
  still.on("request", ({ variation }) => (original.hidden = !variation));
  const acts = make("span", { className: "sl-back-forth" }, keys, original, undo, redo);
  const under = make("div", { className: "sl-under" }, cost, acts, still.sheet.open);
  element.replaceChildren(make("div", { className: "sl-board" }, still.kept.element, grid), under, ...still.closeup.dialogs);

  const tiles = [];
  let selected = 0,
    pictures = [],
    before = []; // pictures of the wall that is being replaced

  /* The words that were chosen for wildcards and open attributes of a picture, else its seed. */
  const label = (p) =>
    p.label ?? (chosen(p) || own(p.request, p.index));
  const own = (r, index) => {
    if (r.variation) return `variation ${index + 1}`;
    return r.turn ? `${Math.round(r.azimuth)}°` : `seed ${r.seed}`;
  };
  function chosen(p) {
    const wild = /\{[^{}]*\|[^{}]*\}/.test(p.request.prompt);
    if ((p.request.even ?? "nothing") === "nothing" && !wild) return "";
    if (wild) return p.text ?? "";
    const typed = new Set(p.request.prompt.toLowerCase().match(/[\w-]+/g));
    return (p.text ?? "").split(/\s+/).filter((word) => !typed.has(word.toLowerCase().replace(/,$/, ""))).join(" ").replace(/^an? |,$/g, "");
  }

  function size(total) {
    grid.style.setProperty("--columns", total <= 1 ? 1 : total <= 4 ? 2 : total <= 9 ? 3 : 4);
    grid.dataset.total = total;
    while (tiles.length > total) tiles.pop().remove();
    while (tiles.length < total) {
      tiles.push(make("figure", { className: "sl-tile sl-empty" }));
      grid.append(tiles.at(-1));
    }
  }

  function select(i) {
    if (!pictures[i]) return;
    selected = i;
    tiles.forEach((tile, k) => tile.choose?.(k === i));
    still.emit("selected", {
      picture: pictures[i],
      pictures,
      index: i,
      walk: (k) => tiles[k]?.focus({ preventScroll: false }),
    });
  }

  async function place(p) {
    const i = p.index;
    const tile = still.tile(p, {
      label: label(p),
      select: () => select(i),
      open: () => {
        select(i);
        still.emit("open", { pictures, index: i });
      },
    });
    const focused = tiles[i] === document.activeElement;
    await tile
      .querySelector("img")
      .decode()
      .catch(() => {});
    pictures[i] = p;
    tiles[i]?.replaceWith(tile);
    tiles[i] = tile;
    tile.choose(i === selected);
    if (focused) tile.focus();
    if (i === selected) select(i);
    still.enlarge.add(p, () => inSight(tile));
  }

  function inSight(tile) {
    const { top, bottom } = tile.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  }

  still.on("enlarged", async (p) => {
    const large = make("img", { src: p.src });
    await large.decode().catch(() => {});
    if (pictures[p.index] === p) tiles[p.index].querySelector("img").src = p.src;
  });

  /* `follows`: the same wall, drafted by a quicker model. Of another one nothing is seen any more once this one begins. */
  still.on("wall", ({ total, follows }) => {
    if (pictures.length) before = pictures;
    grid.classList.remove("sl-begun");
    size(total);
    pictures = [];
    if (selected >= total) selected = 0;
    tiles.forEach((tile) => tile.classList.add(follows ? "sl-draft" : "sl-stale"));
  });
  still.on("picture", async ({ picture, shown }) => {
    await place(picture);
    grid.classList.add("sl-begun");
    shown();
  });
  /* The current estimate of a picture that takes many steps. */
  still.on("look", ({ index, src }) => {
    const tile = tiles[index];
    if (pictures[index] || !tile) return;
    const image = tile.querySelector("img");
    if (image) image.src = src;
    else tile.append(make("img", { src, alt: "" }));
    tile.classList.remove("sl-stale", "sl-draft");
    tile.classList.add("sl-look");
  });
  /* A wall ended early: its other tiles are empty; without any picture, the wall before it is shown again. */
  still.on("ended", ({ done }) => {
    if (!done && before.some(Boolean)) {
      size(before.length);
      before.forEach((p) => place(p));
      return;
    }
    tiles.forEach((tile, i) => {
      if (pictures[i]) return;
      tiles[i] = make("figure", { className: "sl-tile sl-empty" });
      tile.replaceWith(tiles[i]);
    });
  });
  still.follow(
    () => pictures,
    () => tiles,
  );
  still.on("cost", ({ sentence, details = "" }) => {
    if (sentence !== undefined) Object.assign(cost, { textContent: sentence, title: details });
  });
  still.on("busy", (busy) => element.classList.toggle("sl-painting", Boolean(busy)));

  /* The stored wall, else the shipped one, so that the first visit does not show an empty wall. */
  still.closeup.enlargers = part.props.data.enlargers;
  const first = part.props.data,
    { came, wall } = still.memory;
  if (wall?.pictures) still.painter.adopt(wall).then(() => select(0));
  else if (came || new URLSearchParams(location.search).has("prompt")) size(came?.num_images ?? 9);
  else if (first.pictures.length) {
    size(first.pictures.length);
    cost.textContent = "Painted on an ordinary computer, in a blink each. Type, and they change.";
    Promise.all(first.pictures.map(place)).then(() => select(0));
    still.painter.shown(first.request, first.pictures);
  } else size(9);
};
