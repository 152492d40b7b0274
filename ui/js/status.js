"use strict";
/* The present state: the header shows whether the server answers and what it does; sentences about the moment appear and
   disappear. */

/* Whether the server answers. It is checked now and then, at once after a failed call, and often while it is unreachable. */
still.link = (() => {
  const SOON = 1500, // ms
    NOW_AND_THEN = 8000,
    OFTEN = 1000,
    AGAIN = 60_000; // ms; the least time between two automatic reloads
  let up = true,
    timer = 0,
    failed = 0;

  async function look() {
    clearTimeout(timer);
    const health = await fetch("./healthz", { cache: "no-store" }).then(
      (r) => r.ok && r.json(),
      () => false,
    );
    const there = Boolean(health);
    if (there) still.emit("backends", health.backends);
    if (there !== up) still.emit("link", (up = there));
    timer = setTimeout(next, up ? NOW_AND_THEN : OFTEN);
    return there;
  }
  const next = () => (document.hidden && up ? (timer = setTimeout(next, NOW_AND_THEN)) : look());

  still.on("reached", async (answered) => {
    if (answered) {
      failed = 0;
      if (!up) look();
      return;
    }
    if (!(await look())) return;
    still.say("The studio didn't answer that. What you made here is kept; try again.", "error");
    const last = Number(still.session.get("reloaded") ?? 0);
    if (++failed <= 3 || Date.now() - last < AGAIN) return;
    still.session.set("reloaded", String(Date.now()));
    location.reload(); // the server serves pages but refuses this page's calls, so it was restarted
  });
  document.addEventListener("visibilitychange", () => document.hidden || look());
  timer = setTimeout(next, SOON);
  return {
    get up() {
      return up;
    },
  };
})();

still.parts.head = (element) => {
  const { make } = still;
  const write = (id, words) => {
    element.querySelector(id).textContent = words ?? "";
  };
  const dot = element.querySelector(".sl-dot");
  const away = make("p", { id: "away", role: "alert", hidden: true });
  element.append(away);
  let idle = "", // the header's text while idle
    busy = false; // or true, or a text on the current work

  function show() {
    const { up } = still.link;
    dot.classList.toggle("sl-busy", up && Boolean(busy));
    dot.classList.toggle("sl-lost", !up);
    write("#each", !up ? "no connection" : typeof busy === "string" ? busy : idle);
    away.hidden = up;
    away.textContent = up
      ? ""
      : "The studio doesn't answer. This page tries again by itself; your pictures are kept, and jobs go on.";
  }

  element.querySelector(".sl-lamp").addEventListener("click", still.theme);
  /* Behind the model's name: what computes its networks. */
  still.on("backends", (by) => {
    const id = element.querySelector("#each-model").textContent;
    element.querySelector(".sl-status").title = by[id] ? `${id} on this machine: ${by[id]}` : "";
  });
  still.on("busy", (now) => ((busy = now), show()));
  still.on("link", show);
  still.on("model", (model) => {
    idle ||= "ready";
    write("#each-model", model.id);
    show();
  });
  still.on("cost", (cost) => {
    if (cost.each !== undefined) idle = cost.each;
    if (cost.steps !== undefined) write("#each-steps", cost.steps);
    if (cost.model !== undefined) write("#each-model", cost.model);
    show();
  });
  const page = element.querySelector("nav [aria-current]")?.textContent ?? "";
  document.title = `${page} · Still Life`;
  element.append(make("h1", { className: "sl-unseen" }, page));
  addresses(element);
  toast();

  /* A tab of the header leads back to its last state; Compare takes over the prompt and the seed of Create. */
  function addresses(element) {
    const page = (link) => new URL(link.href).pathname;
    const here = location.pathname;
    addEventListener("pagehide", () => still.session.set(`at ${here}`, location.search));
    for (const link of element.querySelectorAll("nav a[href], .sl-mark")) {
      const plain = link.href;
      const point = () => {
        const query = new URLSearchParams(still.session.get(`at ${page(link)}`) ?? "");
        const { prompt, seed } = still.request;
        if (link.dataset.takes === "words" && prompt) {
          query.set("prompt", prompt);
          query.set("seed", seed);
        }
        if (page(link) !== here) link.href = plain.split("?")[0] + (query.size ? `?${query}` : "");
      };
      for (const event of ["pointerdown", "focus", "click"]) link.addEventListener(event, point);
    }
  }

  /* Above dialogs too: the last sentence is in front. */
  function toast() {
    const line = make("p", { id: "say", popover: "manual", onclick: () => still.say("") });
    const phone = matchMedia("(max-width: 760px)"); // gradio's style sheets keep media rules to what is inside its page
    let timer = 0;
    still.ready(() => document.body.append(line));
    still.on("say", ({ sentence, kind }) => {
      if (sentence && sentence === line.textContent && line.matches(":popover-open")) return;
      clearTimeout(timer);
      line.textContent = sentence;
      line.dataset.kind = kind;
      line.classList.toggle("sl-above", phone.matches);
      line.role = kind === "error" ? "alert" : "status";
      if (line.matches(":popover-open")) line.hidePopover();
      if (!sentence) return;
      line.showPopover();
      if (kind !== "error") timer = setTimeout(() => still.say(""), 3000 + 50 * sentence.length);
    });
  }
};
