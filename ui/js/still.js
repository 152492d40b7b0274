"use strict";
/* What the parts of the page share: one request, one bus of events, one way to call the server.

   Pictures travel over server functions of gr.HTML, not over gradio's queue: from a keystroke to a decoded picture that
   was 50 ms against 170 ms on two cores, with 30 ms of work in it. The page asks for a few pictures at a time, so
   the newest prompt never waits for more than those, and stopping is mostly not asking again. */

window.still = (() => {
  const random = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

  /* Storage may be blocked, as in a frame of another site, or full. Then a value lasts only as long as the page. */
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
      /* Returns whether the value will survive the page. */
      set(key, value) {
        memory[key] = value;
        try {
          where().removeItem("still-" + key); // so that no old value is read later
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

  /* Runs f when the document has a body. */
  const ready = (f) => (document.body ? f() : addEventListener("DOMContentLoaded", f));

  /* Shows a sentence (status.js): a note disappears by itself, an error at the next change. */
  const say = (sentence, kind = "note") => emit("say", { sentence, kind });

  async function copy(link, sentence) {
    try {
      await navigator.clipboard.writeText(link);
      say(sentence);
    } catch {
      say(`The browser doesn't allow copying; the link is ${link}`, "error");
    }
  }

  /* The answer of a server function; undefined without a connection, which the header then shows. */
  async function reach(functions, name, data) {
    const answer = await functions[name]({ tab: still.tab, owner: still.owner, ...data }).catch(() => undefined);
    emit("reached", Boolean(answer));
    return answer;
  }

  /* The same for the functions of the parts; null also after a refusal, whose reason is shown. */
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
    parts: {}, // functions that draw parts of a page, by name
    shows: {}, // functions that draw results of jobs, by name (jobs/results.js)
    request: {},
    usual: {}, // the defaults of a request's fields
    touched: false, // whether anything was typed
    typed: 0, // the time of the last typing, on the page's clock
    arrived: false, // whether the server has sent the page's first request
    model: {},
    reasons: {}, // why a model of the menu can't run
    locked: store.get("locked") === "yes",
    trigger: () => {},
    fired: 0,
    restoring: { number: 0 }, // the newest request that is being put into the form
    /* An event for python. Its answer does not overwrite text that is typed meanwhile. */
    fire(name, data) {
      still.fired = performance.now();
      still.trigger(name, data);
    },
    /* Puts a request into the form, through python; answers to earlier ones are then ignored. */
    restore(request) {
      still.restoring = { request, number: still.restoring.number + 1 };
      still.fire("restore"); // the handler reads still.restoring, as gradio repeats an event with its first data
    },
    adopt(part) {
      Object.assign(server, part.server);
    },
    plural: (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`,
  };

  /* A locked seed survives the page. */
  const keep = () => {
    if (still.locked && still.arrived) store.set("seed", still.request.seed);
  };

  /* Changes some fields, after typing, by a widget or from a restored picture. */
  still.set = (fields, { paint = true } = {}) => {
    if ("prompt" in fields && !("variation" in fields) && still.request.variation) {
      fields = { ...fields, variation: 0 }; // another prompt has no variations yet
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
  /* New seeds of the wall or of its variations; returns the values of their widgets. */
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
  /* Nine pictures of one thing, all around; returns the values of their widgets. */
  still.around = () => {
    still.set({ num_images: 9, turn: 40 });
    return [9, 40];
  };
  still.lock = () => {
    still.locked = !still.locked;
    store.set("locked", still.locked ? "yes" : "no");
    keep();
    emit("lock", still.locked);
  };

  /* Messages of python for the page: a request to show, the menu, a sentence. Each has a number. */
  still.parts.messages = (element, part) => {
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
        if (switched) emit("switched", request); // listeners may add fields that are kept from the model before
        still.set(request, { paint: false });
        emit("restored", still.request);
      }
      still.arrived ||= Boolean(arrival); // set last, as a link's seed is not the locked one
      if (says) say(says, kind);
      if (paint) still.painter.want();
    };
    part.watch("value", hear);
    hear();
  };

  /* Dark or light: as in the reader's system, until they choose. */
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
