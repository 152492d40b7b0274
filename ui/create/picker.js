"use strict";
/* What can be typed: every name that the model knows, with a small picture, by groups or by a search; and names that go on
   as the word before the caret begins. */

still.picker = (() => {
  const { make } = still;
  const MOST = 240, // shown of a search
    FEW = 6; // offered while one types
  const search = make("input", { className: "sl-search", type: "search", placeholder: "Search …", ariaLabel: "Search names", dir: "auto", oninput: () => show() });
  const heads = make("div", { className: "sl-chips", role: "group", ariaLabel: "Groups" });
  const grid = make("div", { className: "sl-names" });
  const words = make("div", { className: "sl-words" });
  const element = make("div", { className: "sl-picker", id: "picker", hidden: true }, make("div", { className: "sl-picker-top" }, search, heads), grid, words);
  const sheets = {}; // by group: a promise of its picture
  let model = "",
    known = { groups: {}, side: 48, columns: 20 },
    group = "",
    pick = () => {};

  async function fetch(id, tags) {
    if (model === id) return;
    model = id;
    const answer = await still.call("picker", { model: id });
    if (!answer || model !== id) return;
    known = { side: 48, columns: 20, ...answer };
    group = known.groups[group] ? group : (Object.keys(known.groups)[0] ?? "");
    heads.replaceChildren(...Object.keys(known.groups).map(head));
    words.replaceChildren(...tags);
    search.hidden = !group;
    if (!element.hidden) show();
  }

  const head = (name) =>
    make("button", { className: "sl-chip", ariaPressed: String(name === group), onclick: () => ((group = name), (search.value = ""), show()) }, name);

  /* A name's small picture, which comes with its group's sheet. */
  function small(of, place) {
    const { side, columns } = known;
    const image = make("i", { className: "sl-small-picture" });
    image.style.backgroundPosition = `-${(place % columns) * side}px -${Math.floor(place / columns) * side}px`;
    sheets[of] ??= still.call("sheet", { group: of });
    sheets[of].then((answer) => answer && (image.style.backgroundImage = `url(${answer.src})`));
    return image;
  }

  function show() {
    const text = search.value.trim().toLowerCase();
    const all = Object.entries(known.groups).flatMap(([of, names]) => names.map(([place, name]) => ({ of, place, name })));
    const shown = text ? all.filter(({ name }) => name.toLowerCase().includes(text)).slice(0, MOST) : all.filter(({ of }) => of === group);
    const one = ({ of, place, name }) => make("button", { title: name, onclick: () => pick(name) }, small(of, place), make("span", {}, name));
    grid.replaceChildren(...(shown.length || !group ? shown.map(one) : [make("p", { className: "sl-note" }, `It knows nothing that is called “${text}”.`)]));
    for (const button of heads.children) button.ariaPressed = String(!text && button.textContent === group);
  }

  /* Names that begin as the last words of a text do: {from, names}, where in the text those words begin. */
  function ends(text) {
    const last = text.slice(-80); // no name is longer
    for (const match of last.matchAll(/(?<![\p{L}\p{N}])[\p{L}][\p{L}\p{N}' -]*$/gu)) {
      const spoken = match[0].split(" ");
      for (let k = 0; k < spoken.length; k++) {
        const begun = spoken.slice(k).join(" ").toLowerCase();
        if (begun.length < 2) break;
        const names = Object.entries(known.groups)
          .flatMap(([of, all]) => all.map(([place, name]) => ({ of, place, name })))
          .filter(({ name }) => name.toLowerCase().startsWith(begun) && name.length > begun.length);
        if (names.length) return { from: text.length - begun.length, names: names.sort((a, b) => a.name.length - b.name.length).slice(0, FEW) };
      }
    }
    return { from: text.length, names: [] };
  }

  return {
    element,
    fetch,
    ends,
    small,
    toggle() {
      element.hidden = !element.hidden;
      if (!element.hidden) show();
    },
    set pick(f) {
      pick = f;
    },
  };
})();
