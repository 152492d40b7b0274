"use strict";
/* Pictures of the wall made large, one after the other: those in sight first, none of a wall that nobody wants any more.
   The small one is shown at once; the large one takes its place when it is there. */

still.enlarge = (() => {
  let waiting = [], // pictures, in the order in which they came
    busy = false,
    turn = 0; // goes up with every wall

  const wants = (p) => p.request.enlarge > 1 && p.width <= p.request.width;

  /* `seen`: whether a picture is in sight. */
  async function add(p, seen) {
    if (!wants(p)) return;
    waiting.push({ p, seen });
    if (busy) return;
    busy = true;
    while (waiting.length) {
      const next = waiting.find((one) => one.seen()) ?? waiting[0];
      waiting = waiting.filter((one) => one !== next);
      if (!(await now(next.p))) waiting = [];
    }
    busy = false;
  }

  /* This one, and how it looks large; nothing where it could not be made. */
  async function now(p) {
    const mine = turn;
    const answer = await still.call("large", { request: p.request });
    if (!answer) return false;
    Object.assign(p, answer);
    if (mine === turn) still.emit("enlarged", p);
    return true;
  }

  still.on("wall", () => {
    turn++;
    waiting = [];
  });
  return {
    add,
    get busy() {
      return busy;
    },
  };
})();
