"use strict";
/* What the parts of the page share: one request, one bus of events, one way to call the server.

   Pictures travel over server functions of gr.HTML, not over gradio's queue: from a keystroke to a decoded picture that
   was 50 ms against 170 ms on two cores, with 30 ms of work in it. The page asks for a few pictures at a time, so
   the newest prompt never waits for more than those, and stopping is mostly not asking again. */

window.still = (() => {
  const random = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

  /* Storage may be blocked, as in a frame of another site, or full: then a value lasts as long as the page. */
  const keeper = (where) => {
    const memory = {};
    return {
      get(key) {
        try {
          return memory[key] ?? where().getItem("still-" + key);
        } catch {
          return memory[key] ?? null;
        }
      },
      /* Whether it will outlive the page. */
      set(key, value) {
        memory[key] = value;
        try {
          where().removeItem("still-" + key); // an old value is no substitute
          where().setItem("still-" + key, value);
          return true;
        } catch {
          return false;
        }
      },
    };
  };
  const store = keeper(() => localStorage), // of this browser
    session = keeper(() => sessionStorage); // of this tab of it
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

  /* A sentence about this moment (status.js shows it): a note leaves by itself, an error when something changes. */
  const say = (sentence, kind = "note") => emit("say", { sentence, kind });

  async function copy(link, sentence) {
    try {
      await navigator.clipboard.writeText(link);
      say(sentence);
    } catch {
      say(`The browser doesn't allow copying; the link is ${link}`, "error");
    }
  }

  /* The answer of a server function, or undefined where nobody answered; the header says so then. */
  async function reach(functions, name, data) {
    const answer = await functions[name]({ tab: still.tab, owner: still.owner, ...data }).catch(() => undefined);
    emit("reached", Boolean(answer));
    return answer;
  }

  /* The same of the functions that parts brought, or null where it was refused, too; the reason is said. */
  const server = {};
  async function call(name, data = {}) {
    const answer = await reach(server, name, data);
    if (answer?.error) say(answer.error, "error");
    return !answer || answer.error ? null : answer;
  }

  const still = {
    token: random,
    tab: random(),
    owner: store.get("owner"),
    store,
    session,
    on,
    emit,
    make,
    say,
    copy,
    reach,
    call,
    ready,
    server,
    parts: {}, // by name: draws a piece of a page
    shows: {}, // by name: draws a result of a job (jobs/results.js)
    request: {},
    usual: {}, // fields of a request as they are when nobody says anything
    touched: false, // whether anything was typed
    typed: 0, // when, on the clock of the page
    arrived: false, // whether the server said what this page shows
    model: {},
    reasons: {}, // why a model of the menu can't run
    locked: store.get("locked") === "yes",
    trigger: () => {},
    fired: 0,
    restoring: { number: 0 }, // the newest request on its way into the form
    /* An event for python. What comes back doesn't overwrite what is typed meanwhile. */
    fire(name, data) {
      still.fired = performance.now();
      still.trigger(name, data);
    },
    /* A request comes into the form, by way of python; the answer to an earlier one is then too late. */
    restore(request) {
      still.restoring = { request, number: still.restoring.number + 1 };
      still.fire("restore"); // the handler reads it as it is sent: gradio repeats an event with its first data
    },
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
    if ("prompt" in fields && !("variation" in fields) && still.request.variation) {
      fields = { ...fields, variation: 0 }; // another prompt has no neighbours yet
      setTimeout(() => still.fire("seeds"));
    }
    Object.assign(still.request, fields);
    if ("seed" in fields) keep();
    emit("request", still.request);
    if (!paint) return;
    say("");
    still.painter.want();
  };
  still.form = (names, values) => {
    const value = (name, given) => (given === null || given === "" ? still.numbers.last(name) : given);
    const filled = names.map((name, i) => [name, value(name, values[i])]).filter(([, v]) => v !== undefined);
    still.set({ negative: "", ...Object.fromEntries(filled) });
  };
  /* New seeds, of the wall or of its neighbours; returns what their widgets show. */
  still.seeds = () => ["seed", "variation_seed", "variation"].map((name) => still.request[name]);
  still.roll = ({ paint = true } = {}) => {
    if (still.locked && !still.request.variation) {
      say("The seed is kept. Press “Seed kept” to release it.");
      return still.seeds();
    }
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
    still.trigger = part.trigger;
    const hear = () => {
      const { request, model, menu, usual, says, kind, paint, arrival, switched, restore } = part.props.value ?? {};
      if (restore < still.restoring.number) return;
      if (usual) still.usual = usual;
      if (request && (arrival ? still.touched : still.typed > still.fired)) delete request.prompt; // typed meanwhile
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
        if (switched) emit("switched", request); // whoever carries something over from the model before adds it
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
