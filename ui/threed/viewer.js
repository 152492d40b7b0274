"use strict";
/* The viewer of a mesh: mouse, finger or keys turn it; it is drawn in its colours, as normals or as clay, with or without edges.

     const viewer = still.viewer("a red mushroom"); viewer.open(bytes); page.append(viewer.element) */

still.viewer = (name) => {
  const { make } = still;
  const HOME = { azimuth: 25, elevation: 18, distance: 4.3 };
  const [NEAR, FAR, HIGHEST, STEP] = [2, 12, 89, 10];
  const TURN = 24; // degrees a second
  const KEYS = "Arrow keys turn it, + and − zoom, 0 goes home, W shows its edges, N its normals, space turns it by itself.";
  const view = { ...HOME, look: "colours", edges: false };
  const canvas = make("canvas", { className: "sl-stage", tabIndex: 0, role: "img", title: KEYS });
  const words = make("p", { className: "sl-note", role: "status" });
  const stage = still.stage(canvas);
  let turning = false,
    before = 0,
    frame = 0,
    fingers = new Map(),
    opened = 0;

  const LABELS = { colours: "Colours", normals: "Normals", clay: "Clay" };
  const looks = still.looks.map((look) =>
    make("button", { className: "sl-small", data: { look }, onclick: () => change({ look }) }, LABELS[look]),
  );
  const edges = make("button", { className: "sl-small", title: "W", onclick: () => change({ edges: !view.edges }) }, "Edges");
  const turn = make("button", { className: "sl-small", title: "Space", onclick: () => spin(!turning) }, "Turn");
  const home = make("button", { className: "sl-small", title: "0", onclick: () => change(HOME) }, "Front");
  const element = make(
    "div",
    { className: "sl-viewer" },
    canvas,
    make("div", { className: "sl-acts", role: "group", ariaLabel: "How it is shown" }, ...looks, edges, turn, home),
    words,
  );
  canvas.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight ArrowUp ArrowDown + - 0 W N Space");

  function change(more) {
    Object.assign(view, more);
    view.elevation = Math.max(-HIGHEST, Math.min(HIGHEST, view.elevation));
    view.distance = Math.max(NEAR, Math.min(FAR, view.distance));
    view.azimuth = ((view.azimuth % 360) + 360) % 360;
    for (const button of looks) button.ariaPressed = String(button.dataset.look === view.look);
    edges.ariaPressed = String(view.edges);
    turn.ariaPressed = String(turning);
    canvas.ariaLabel = `${name}, from ${Math.round(view.azimuth)}° round and ${Math.round(view.elevation)}° up, ${view.look}${view.edges ? " and edges" : ""}`;
    stage.draw(view);
  }

  function spin(on) {
    turning = on;
    before = performance.now();
    cancelAnimationFrame(frame);
    if (on) frame = requestAnimationFrame(onward);
    change({});
  }
  function onward(now) {
    if (!turning || !canvas.isConnected) return;
    change({ azimuth: view.azimuth + (TURN * (now - before)) / 1000 });
    before = now;
    frame = requestAnimationFrame(onward);
  }

  /* One finger or the mouse turns; two fingers zoom. */
  const apart = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (turning) spin(false);
  });
  canvas.addEventListener("pointermove", (event) => {
    const was = fingers.get(event.pointerId);
    if (!was) return;
    const spread = fingers.size === 2 ? apart() : 0;
    const now = { x: event.clientX, y: event.clientY };
    fingers.set(event.pointerId, now);
    if (spread) return change({ distance: (view.distance * spread) / Math.max(apart(), 1) });
    const degrees = 240 / canvas.clientHeight;
    change({ azimuth: view.azimuth - (now.x - was.x) * degrees, elevation: view.elevation + (now.y - was.y) * degrees });
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      change({ distance: view.distance * Math.exp(event.deltaY / 800) });
    },
    { passive: false },
  );
  canvas.addEventListener("dblclick", () => change(HOME));

  const ACTS = {
    ArrowLeft: () => change({ azimuth: view.azimuth - STEP }),
    ArrowRight: () => change({ azimuth: view.azimuth + STEP }),
    ArrowUp: () => change({ elevation: view.elevation + STEP }),
    ArrowDown: () => change({ elevation: view.elevation - STEP }),
    "+": () => change({ distance: view.distance / 1.15 }),
    "-": () => change({ distance: view.distance * 1.15 }),
    0: () => change(HOME),
    w: () => change({ edges: !view.edges }),
    n: () => change({ look: view.look === "normals" ? "colours" : "normals" }),
    " ": () => spin(!turning),
  };
  canvas.addEventListener("keydown", (event) => {
    const act = ACTS[event.key === "=" ? "+" : event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
  new ResizeObserver(() => stage.draw(view)).observe(canvas);

  function fail(sentence) {
    words.textContent = sentence;
    canvas.hidden = true;
  }
  if (!stage.able) fail("This browser draws no WebGL 2, so the mesh can't be turned here; its turntable and files can be had.");

  return {
    element,
    /* Opens the bytes of a GLB. The one that is opened last is shown, in whichever order they are read. */
    async open(buffer) {
      if (!stage.able) return;
      const mine = ++opened;
      try {
        const solid = await still.readGlb(buffer);
        if (mine === opened) this.show(solid);
      } catch (error) {
        fail(`The mesh can't be shown: ${error.message}.`);
      }
    },
    /* Shows a mesh of readGlb. */
    show(solid) {
      stage.show(solid);
      const faces = solid.corners.length / 3;
      words.textContent = `${still.plural(faces, "face")}. Drag to turn it, scroll or pinch to come nearer.`;
      canvas.dataset.faces = faces;
      change({});
    },
  };
};

/* The bytes of a data URL, or of plain base64. */
still.bytesOf = (src) => Uint8Array.from(atob(src.slice(src.indexOf(",") + 1)), (c) => c.charCodeAt(0)).buffer;
