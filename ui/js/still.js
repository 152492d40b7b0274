"use strict";
/* What the parts of the page share: one request, one bus of events, one way to call the server.

   Pictures travel over server functions of gr.HTML, not over gradio's queue: from a keystroke to a decoded picture that
   was 50 ms against 170 ms on two cores, with 30 ms of work in it. The page asks for a few pictures at a time, so
   the newest prompt never waits for more than those, and stopping is mostly not asking again. */

window.still = (() => {
  const random = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

  /* Storage may be blocked, as in a frame of another site: then a value lasts as long as the page. */
  const memory = {};
  const store = {
    get(key) {
      try {
        return localStorage.getItem("still-" + key) ?? memory[key] ?? null;
      } catch {
        return memory[key] ?? null;
      }
    },
    set(key, value) {
      memory[key] = value;
      try {
        localStorage.setItem("still-" + key, value);
      } catch {
        /* kept in memory */
      }
    },
  };
  if (!store.get("owner")) store.set("owner", random());

  const listeners = {};
  const on = (name, f) => (listeners[name] ??= []).push(f);
  const emit = (name, data) => (listeners[name] ?? []).forEach((f) => f(data));

  /* An element with properties, listeners (onclick: f) and children; text stays text. */
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (key === "data") Object.assign(element.dataset, value);
      else if (key in element) element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children.filter((c) => c !== null));
    return element;
  }

  /* When there is a body to add to. */
  const ready = (f) => (document.body ? f() : addEventListener("DOMContentLoaded", f));

  const say = (sentence, kind = "note") => emit("say", { sentence, kind });

  /* The answer of a server function, or null when it refused (it says why) or could not be reached. */
  const server = {};
  async function call(name, data = {}) {
    const answer = await server[name]({ tab: still.tab, owner: still.owner, ...data }).catch(() => undefined);
    const problem = answer
      ? answer.error
      : "The studio doesn't answer. Is it still running? What you typed is safe here.";
    if (problem) say(problem, "error");
    return problem ? null : answer;
  }

  const still = {
    tab: random(),
    owner: store.get("owner"),
    store,
    on,
    emit,
    make,
    say,
    call,
    ready,
    server,
    parts: {}, // by name: draws a piece of a page
    shows: {}, // by name: draws a result of a job (jobs/results.js)
    request: {},
    touched: false, // whether anything was typed
    arrived: false, // whether the server said what this page shows
    model: {},
    reasons: {}, // why a model of the menu can't run
    locked: store.get("locked") === "yes",
    fire: () => {},
    adopt(part) {
      Object.assign(server, part.server);
    },
    plural: (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`,
  };

  /* A locked seed outlives the page. */
  const keep = () => {
    if (still.locked && still.arrived) store.set("seed", still.request.seed);
  };

  /* Some fields changed: by typing, by a widget, by a restored picture. */
  still.set = (fields, { paint = true } = {}) => {
    Object.assign(still.request, fields);
    if ("seed" in fields) keep();
    if (!paint) return;
    say("");
    still.painter.want();
  };
  still.form = (names, values) => {
    const value = (name, given) => (given === null || given === "" ? still.numbers.last(name) : given);
    const filled = names.map((name, i) => [name, value(name, values[i])]).filter(([, v]) => v !== undefined);
    still.set({ negative: "", ...Object.fromEntries(filled) });
  };
  /* New seeds, of the wall or of its neighbours; returns both for their widgets. */
  still.seeds = () => [still.request.seed, still.request.variation_seed];
  still.roll = ({ paint = true } = {}) => {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
    still.set(still.request.variation ? { variation_seed: seed } : { seed }, { paint });
    return still.seeds();
  };
  still.lock = () => {
    still.locked = !still.locked;
    store.set("locked", still.locked ? "yes" : "no");
    keep();
    emit("lock", still.locked);
  };

  /* What python tells the page: a request to show, the menu, a sentence. Its value is a message with a number. */
  still.parts.told = (element, part) => {
    still.fire = part.trigger;
    const hear = () => {
      const { request, model, menu, says, kind, paint, arrival } = part.props.value ?? {};
      if (arrival && still.touched) delete request.prompt; // somebody typed before the page was all there
      if (menu) {
        still.reasons = Object.fromEntries(menu.map((row) => [row.id, row.reason]));
        emit("menu", menu);
      }
      if (model) emit("model", (still.model = model));
      const locked = arrival && still.locked && !new URLSearchParams(location.search).has("seed") && store.get("seed");
      if (locked) {
        request.seed = Number(locked);
        setTimeout(() => still.fire("seeds")); // into its widget
      }
      if (request) {
        still.set(request, { paint: false });
        emit("restored", still.request);
      }
      still.arrived ||= Boolean(arrival); // after it: a link's seed is not what was locked
      if (says) say(says, kind);
      if (paint) still.painter.want();
    };
    part.watch("value", hear);
    hear();
  };

  /* Dark or light: the reader's system decides until they say otherwise. */
  still.theme = () => {
    const dark = document.body.classList.toggle("dark");
    store.set("theme", dark ? "dark" : "light");
  };
  const chosen = store.get("theme");
  if (chosen && !new URLSearchParams(location.search).has("__theme"))
    still.ready(() => {
      const apply = () => document.body.classList.toggle("dark", chosen === "dark");
      apply();
      const watcher = new MutationObserver(
        () => document.body.classList.contains("dark") === (chosen === "dark") || apply(),
      );
      watcher.observe(document.body, { attributes: true, attributeFilter: ["class"] });
      setTimeout(() => watcher.disconnect(), 3000);
    });
  return still;
})();
