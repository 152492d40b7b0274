"use strict";
/* Memory of the page: the request is in the address and in the browser's storage, the wall comes back after a reload, and
   Ctrl+Z goes back through earlier states of the page. */

/* The part of an address that restores a request: all fields that differ from their defaults. */
still.address = (request) => {
  const own = ["width", "height"]; // the model's
  const always = ["prompt", "model", "seed", "steps", "guidance"];
  const plain = ([key, value]) =>
    always.includes(key) ||
    (!own.includes(key) && ["string", "number"].includes(typeof value) && value !== still.usual[key]);
  return `?${new URLSearchParams(Object.entries(request).filter(plain))}`;
};

still.memory = (() => {
  const LONGEST = 1500, // most characters of an address; a longer request is only in the browser's storage
    MOST = 60, // requests in the history
    WALLS = 12; // of which with pictures
  const { session, store } = still;
  const parsed = (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  };
  const foreign = (key) => key.startsWith("__") || key === "view" || key === "lang"; // gradio's own
  const query = () => new URLSearchParams([...new URLSearchParams(location.search)].filter(([key]) => !foreign(key)));
  const theme = () => [...new URLSearchParams(location.search)].filter(([key]) => key.startsWith("__"));
  const short = (address) => (address.length > LONGEST ? "?" : address);

  /* The last state of this page; null for a first visit, and for a visit by a link. */
  const kept = parsed(session.get("create") ?? store.get("create"));
  const came = kept && (!query().size || kept.at.includes(query().toString())) ? kept.request : null;
  const wall = came && parsed(session.get("wall"));

  let past = parsed(session.get("past")) ?? [],
    at = past.length - 1,
    timer = 0;

  /* `at`: the last addresses of this page, as a reload may use a slightly older one. */
  let addresses = [query().toString()];
  function write() {
    if (!still.arrived || !document.querySelector("#create")) return;
    const text = JSON.stringify({ at: addresses, request: still.request });
    session.set("create", text);
    store.set("create", text);
  }
  function point() {
    if (!still.arrived || !document.querySelector("#create")) return;
    const now = new URLSearchParams([...new URLSearchParams(short(still.address(still.request))), ...theme()]);
    history.replaceState(history.state, "", location.pathname + (now.size ? `?${now}` : ""));
    addresses = [...addresses, query().toString()].slice(-3);
    write();
  }

  /* The present wall, stored for a reload of this tab; without pictures where they don't fit. */
  function leave() {
    if (!still.arrived || !document.querySelector("#create")) return;
    settle();
    write();
    const { request, pictures, complete, kept, cut } = still.painter.left;
    const plain = { request, complete, kept, cut };
    const light = pictures.map(({ full, ...picture }) => picture);
    if (!session.set("wall", JSON.stringify({ ...plain, pictures: light })))
      session.set("wall", JSON.stringify({ ...plain, complete: false, cut: true, pictures: [] }));
    session.set("past", JSON.stringify(past.slice(0, at + 1).map((entry) => ({ request: entry.request }))));
  }

  function settle(wall = null) {
    const request = { ...(wall?.request ?? still.request) },
      top = past[at];
    if (!still.arrived || !String(request.prompt ?? "").trim()) return;
    if (top && still.painter.same(top.request, request)) top.wall = wall ?? top.wall;
    else {
      past = [...past.slice(0, at + 1), { request, wall }].slice(-MOST);
      at = past.length - 1;
    }
    past.slice(0, -WALLS).forEach((entry) => (entry.wall = null));
    tell();
  }

  const words = (entry) => entry && `${entry.request.prompt.slice(0, 60)} · ${entry.request.model}, seed ${entry.request.seed}`;
  const tell = () => still.emit("history", { back: words(past[at - 1]), forth: words(past[at + 1]) });

  function go(by) {
    settle();
    const entry = past[at + by];
    if (!entry) return still.say(by < 0 ? "There is nothing to undo." : "There is nothing to redo.");
    at += by;
    if (entry.wall) still.painter.adopt(entry.wall);
    still.set(entry.request, { paint: false }); // at once, without waiting for the form
    still.restore(entry.request);
    return tell();
  }

  still.on("request", () => {
    clearTimeout(timer);
    timer = setTimeout(() => (settle(), point()), 500);
  });
  still.on("finished", (wall) => still.painter.same(wall.request, still.request) && settle(wall));
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => document.hidden && leave());

  /* Also in the prompt, as the browser's own undo does not include text that scripts wrote. */
  addEventListener("keydown", (event) => {
    const ours = event.target.id === "prompt" || !event.target.matches?.("input, textarea, select, [contenteditable]");
    if (!(event.ctrlKey || event.metaKey) || event.altKey || !ours || !document.querySelector("#create")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    go(key === "y" || event.shiftKey ? 1 : -1);
  });

  return { came, wall, settle, point, undo: () => go(-1), redo: () => go(1) };
})();
