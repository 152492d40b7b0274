"use strict";
/* Enlarging the pictures of the wall, one after the other: visible ones first, none of an older wall.
   The small picture is shown at once, and replaced by the large one when it arrives. */

still.enlarge = (() => {
  let waiting = [], // pictures, in the order in which they came
    busy = false,
    turn = 0; // raised with every wall

  const wants = (p) => p.request.enlarge > 1 && p.width <= p.request.width;

  /* `seen`: whether a picture is visible. */
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

  /* A picture and its enlarged version; nothing where that failed. */
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
