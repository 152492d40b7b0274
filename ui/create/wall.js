"use strict";
/* The seed wall: as many tiles as pictures were asked for, filled one by one, and what one can do with each. */

/* What can be done with a picture of the wall or the gallery: {src, request, id, favourite, width, height}. */
still.actions = (() => {
  const which = (p) => (p.id ? { id: p.id } : { request: p.request });

  async function favourite(p) {
    const answer = await still.call("favourite", { ...which(p), on: !p.favourite });
    if (!answer) return;
    p.id = answer.id;
    still.emit("changed", { id: p.id, now: { favourite: !p.favourite } });
    still.emit("kept");
  }

  async function download(p, scale = 1) {
    const answer = await still.call("download", { ...which(p), scale });
    if (!answer) return;
    const link = still.make("a", { href: answer.src, download: answer.name });
    link.click();
    if (scale > 1) still.say(`Resized from ${answer.from} to ${answer.to} pixels: smoother, no new detail.`);
  }

  /* Neighbours: the same picture with some of its noise exchanged. */
  function more(p) {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
    const count = Math.max(4, still.request.num_images ?? 9);
    still.fire("restore", {
      request: { ...p.request, num_images: count, variation: 0.35, variation_seed: seed },
      paint: true,
    });
  }

  function settings(p) {
    still.fire("restore", { request: p.request, paint: true });
  }

  async function link(p) {
    const r = p.request,
      fields = { prompt: r.prompt, model: r.model, seed: r.seed, steps: r.steps, guidance: r.guidance };
    if (r.negative) fields.negative = r.negative;
    if (r.style !== "none") fields.style = r.style;
    if (r.variation) Object.assign(fields, { variation: r.variation, variation_seed: r.variation_seed });
    if (r.num_images > 1) fields.num_images = r.num_images;
    const url = `${location.origin}${location.pathname}?${new URLSearchParams(fields)}`;
    try {
      await navigator.clipboard.writeText(url);
      still.say("The link is copied: it restores prompt, model and seed.");
    } catch {
      history.replaceState(null, "", url);
      still.say("The link is in the address bar: it restores prompt, model and seed.");
    }
  }

  /* Two pictures make a comparison: the first is marked A and waits for the second. */
  let first = null;
  function compare(p) {
    if (first === null || first === p) {
      first = first === p ? null : p;
      still.emit("marked", first);
      return first && still.say("This is A. Choose another picture and press C, or its A|B, to compare.");
    }
    still.fire("compare", { a: which(first), b: which(p), owner: still.owner });
    first = null;
    return still.emit("marked", null);
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
    settings,
    link,
    compare,
    remove,
    get marked() {
      return first;
    },
  };
})();

/* A tile: the picture whole and smooth, its label, and what can be done with it. */
still.tile = (p, { label, select, open }) => {
  const { make, actions } = still;
  const heart = make(
    "button",
    { title: "Favourite (F)", ariaLabel: "Favourite", onclick: act(() => actions.favourite(p)) },
    "♡",
  );
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
    { className: "sl-tile", tabIndex: 0, onclick: select, onfocus: select, ondblclick: open },
    image,
    make("figcaption", {}, label),
    make(
      "div",
      { className: "sl-act" },
      heart,
      make("button", { title: "Download (D)", ariaLabel: "Download", onclick: act(() => actions.download(p)) }, "↧"),
      make("button", { title: "More (Enter)", ariaLabel: "More", onclick: act(open) }, "⋯"),
    ),
  );
  figure.refresh = () => {
    heart.textContent = p.favourite ? "♥" : "♡";
    heart.ariaPressed = String(Boolean(p.favourite));
    figure.classList.toggle("sl-loved", Boolean(p.favourite));
    figure.classList.toggle("sl-marked", actions.marked === p);
  };
  figure.refresh();
  return figure;
};

/* Pictures that are kept may be shown twice, on the wall and in the gallery: both follow what happens to them. */
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
  const cost = make("span", { id: "cost", role: "status" });
  const say = make("span", { id: "say", role: "alert" });
  const keys = make("span", { className: "sl-keys" }, "← → to walk · F favourite · D download · ? all keys");
  element.replaceChildren(grid, make("div", { className: "sl-under" }, cost, keys), say, ...still.closeup.dialogs);

  const tiles = [];
  let selected = 0,
    pictures = [];

  const label = (p) => (p.request.variation ? `neighbour ${p.index + 1}` : `seed ${p.request.seed}`);

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
    tiles.forEach((tile, k) => tile.classList.toggle("sl-on", k === i));
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
    tile.classList.toggle("sl-on", i === selected);
    if (focused) tile.focus();
    if (i === selected) select(i);
  }

  still.on("wall", ({ total }) => {
    size(total);
    pictures = [];
    if (selected >= total) selected = 0;
    tiles.forEach((tile) => tile.classList.add("sl-stale"));
  });
  still.on("picture", async ({ picture, shown }) => {
    await place(picture);
    shown();
  });
  still.follow(
    () => pictures,
    () => tiles,
  );
  still.on("cost", ({ sentence }) => {
    cost.textContent = sentence;
  });
  still.on("say", ({ sentence, kind }) => {
    say.textContent = sentence;
    say.dataset.kind = kind;
  });
  still.on("busy", (busy) => element.classList.toggle("sl-painting", busy));

  /* The wall that came with the page, so that a first visit never sees an empty one. */
  const first = part.props.data;
  if (first.pictures.length) {
    size(first.pictures.length);
    cost.textContent = "Painted by the model of the box. Type, and they change.";
    Promise.all(first.pictures.map(place)).then(() => select(0));
    still.painter.shown(first.request, first.pictures);
  } else size(9);
};
