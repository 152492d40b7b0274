"use strict";
/* The gallery: kept pictures, newest first; search, favourites, download of all. */

still.parts.gallery = (element, part) => {
  const { make } = still;
  still.adopt(part);
  const count = make("span", { className: "sl-count", id: "count" });
  const loved = make("button", { className: "sl-small", ariaPressed: "false", onclick: toggle }, "♡ Favourites");
  const all = make("button", { className: "sl-small", onclick: () => still.fire("zip", query()) }, "Download all");
  const open = () => document.querySelector("#restore-part input[type=file]")?.click();
  const restore = make(
    "button",
    { className: "sl-small", title: "A PNG made here restores its prompt, model and seed", onclick: open },
    "Open a picture…",
  );
  const search = make("input", {
    className: "sl-search",
    type: "search",
    placeholder: "Search prompts…",
    ariaLabel: "Search prompts",
    maxLength: 200,
    dir: "auto",
  });
  const strip = make("div", { className: "sl-strip", id: "gallery", role: "group", ariaLabel: "Gallery" });
  const empty = make("p", { className: "sl-note" });
  const more = make(
    "button",
    { className: "sl-small sl-more", hidden: true, onclick: () => load(true) },
    "Show more",
  );
  element.replaceChildren(
    make("div", { className: "sl-top" }, make("h2", {}, "Gallery"), count, loved, all, restore, search),
    make("p", { className: "sl-note sl-banner" }, part.props.data.banner ?? ""),
    strip,
    empty,
    more,
  );

  let pictures = [],
    tiles = [],
    favourites = false,
    timer = 0,
    turn = 0;

  const query = () => ({ text: search.value, favourites, owner: still.owner });

  function toggle() {
    favourites = !favourites;
    loved.ariaPressed = String(favourites);
    loved.textContent = favourites ? "♥ Favourites" : "♡ Favourites";
    load();
  }

  async function load(further = false) {
    const mine = ++turn;
    const before = further ? pictures.at(-1)?.id : null;
    const answer = await still.call("gallery_page", { ...query(), before });
    if (!answer || mine !== turn) return;
    if (!further) {
      pictures = [];
      tiles = [];
      strip.replaceChildren();
    }
    answer.pictures.forEach(add);
    if (!search.value && !favourites) still.emit("gallery", pictures);
    count.textContent = still.plural(answer.total, "picture");
    more.hidden = pictures.length >= answer.total;
    all.disabled = answer.total === 0;
    empty.textContent = answer.total ? "" : nothing();
  }

  const nothing = () =>
    search.value || favourites
      ? "No picture here matches."
      : "Nothing kept yet. “Keep these” (Enter) keeps the pictures of the wall, and a favourite (F) is kept too; " +
        "what appears while you type is not.";

  function add(p) {
    const i = pictures.length;
    const select = () => {
      tiles.forEach((tile, k) => tile.choose(k === i));
      still.emit("selected", { picture: p, pictures, index: i, walk: (k) => tiles[k]?.focus() });
    };
    const look = () => still.emit("open", { pictures, index: i });
    const tile = still.tile(p, { label: `seed ${p.request.seed}`, select, open: look });
    tile.addEventListener("click", look);
    tile.choose(i === 0, false);
    pictures.push(p);
    tiles.push(tile);
    strip.append(tile);
  }

  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(load, 150);
  });
  still.on("kept", () => load());
  still.follow(
    () => pictures,
    () => tiles,
  );
  still.on("selected", ({ picture }) => {
    if (!pictures.includes(picture)) tiles.forEach((tile, k) => tile.choose(k === 0, false));
  });
  load();
};
