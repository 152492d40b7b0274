"use strict";
/* Which row of Inspect goes on from which: a tree in which one walks back. It is one stop of Tab; arrows go on from there,
   right to the first branch of a row and left to the row that it came from, Enter opens a row's first step. */

still.branches = (open) => {
  const { make } = still;
  const element = make("nav", { className: "sl-look-tree", ariaLabel: "Branches", hidden: true });
  let rows = []; // {lane, parent, button}, from above

  function draw(lanes, current) {
    const held = element.contains(document.activeElement);
    const children = (parent) => lanes.map((lane, n) => ({ ...lane, n })).filter((lane) => (lane.parent?.lane ?? null) === parent);
    const list = (parent, level) =>
      make(
        "ul",
        level > 1 ? { role: "group" } : { role: "tree", ariaLabel: "Branches" },
        ...children(parent).map(({ n, label }) => {
          const button = make("button", { type: "button", className: "sl-link", role: "treeitem", ariaLevel: String(level), tabIndex: -1, onclick: () => open(n) }, label);
          rows.push({ lane: n, parent, button });
          const below = children(n).length ? list(n, level + 1) : null;
          if (below) button.ariaExpanded = "true";
          return make("li", { role: "none" }, button, below);
        }),
      );
    rows = [];
    element.hidden = !lanes.some((lane) => lane.parent);
    element.replaceChildren(make("b", {}, "Branches"), list(null, 1));
    const here = rows.find((row) => row.lane === current);
    here?.button.setAttribute("aria-current", "true");
    stop(here ?? rows[0], held);
  }

  /* The row that Tab comes to. */
  function stop(row, focused) {
    rows.forEach((other) => (other.button.tabIndex = other === row ? 0 : -1));
    if (focused) row?.button.focus();
  }

  element.addEventListener("keydown", (event) => {
    const at = rows.findIndex((row) => row.button === document.activeElement);
    if (at < 0) return;
    const { lane, parent } = rows[at];
    const to = {
      ArrowDown: () => rows[at + 1],
      ArrowUp: () => rows[at - 1],
      ArrowRight: () => rows.find((row) => row.parent === lane),
      ArrowLeft: () => rows.find((row) => row.lane === parent),
      Home: () => rows[0],
      End: () => rows.at(-1),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    stop(to() ?? rows[at], true);
  });

  return { element, draw };
};
