"use strict";
/* A mesh in WebGL, without a library: a reader of our GLB files, and a stage that draws the mesh from any side.

     const stage = still.stage(canvas); stage.show(await still.readGlb(bytes)); stage.draw(view);

   A view is {azimuth, elevation, distance} in degrees and units, look: one of still.looks, edges: whether they show. */

still.looks = ["colours", "normals", "clay"];

/* glTF 2.0 in one file: {positions, normals, places, corners, picture}; places and picture are null where it has none. */
still.readGlb = async (buffer) => {
  const bytes = new DataView(buffer);
  const [MAGIC, JSON_CHUNK] = [0x46546c67, 0x4e4f534a];
  if (buffer.byteLength < 20 || bytes.getUint32(0, true) !== MAGIC || bytes.getUint32(16, true) !== JSON_CHUNK)
    throw new Error("this is no GLB file");
  const length = bytes.getUint32(12, true);
  const tree = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 20, length)));
  const start = 20 + length + 8; // of the binary chunk's data
  const range = (view) => buffer.slice(start + (view.byteOffset ?? 0), start + (view.byteOffset ?? 0) + view.byteLength);
  const TYPES = { 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };
  const array = (index) => {
    if (index === undefined) return null;
    const { bufferView, componentType } = tree.accessors[index];
    return new TYPES[componentType](range(tree.bufferViews[bufferView]));
  };
  const piece = tree.meshes[0].primitives[0];
  const { POSITION, NORMAL, TEXCOORD_0 } = piece.attributes;
  const source = tree.images?.[0];
  const blob = source && new Blob([range(tree.bufferViews[source.bufferView])], { type: source.mimeType });
  return {
    positions: array(POSITION),
    normals: array(NORMAL),
    places: array(TEXCOORD_0),
    corners: Uint32Array.from(array(piece.indices)),
    picture: blob ? await createImageBitmap(blob) : null,
  };
};

/* Each edge of the faces once, as pairs of corners. Corners at one point are merged, so that texture seams are no edges. */
still.edges = ({ positions, corners }) => {
  const points = new Map();
  const point = (i) => {
    const key = positions.slice(3 * i, 3 * i + 3).join();
    return points.get(key) ?? (points.set(key, i), i);
  };
  const same = Array.from({ length: positions.length / 3 }, (_, i) => point(i));
  const seen = new Set(),
    pairs = [];
  for (let f = 0; f < corners.length; f += 3)
    for (let k = 0; k < 3; k++) {
      const [a, b] = [same[corners[f + k]], same[corners[f + ((k + 1) % 3)]]].sort((x, y) => x - y);
      const key = a * same.length + b;
      if (!seen.has(key)) pairs.push(a, b);
      seen.add(key);
    }
  return Uint32Array.from(pairs);
};

still.stage = (canvas) => {
  const FIELD = 35; // degrees from top to bottom
  const SHARPEST = 2; // most canvas pixels for a CSS pixel
  const VERTEX = `#version 300 es
    in vec3 position; in vec3 normal; in vec2 place;
    uniform mat4 camera; uniform float nearer;
    out vec3 facing; out vec2 where;
    void main() {
      facing = normal; where = place;
      gl_Position = camera * vec4(position, 1.0);
      gl_Position.z -= nearer * gl_Position.w;
    }`;
  const FRAGMENT = `#version 300 es
    precision mediump float;
    in vec3 facing; in vec2 where;
    uniform sampler2D picture; uniform int look; uniform vec3 eye; uniform vec4 line;
    out vec4 colour;
    void main() {
      vec3 n = normalize(facing);
      vec3 clay = vec3(0.80, 0.74, 0.67) * (0.45 + 0.55 * max(dot(n, normalize(eye + vec3(1.2, 1.6, 0.0))), 0.0));
      vec3 shown = look == 0 ? texture(picture, where).rgb : look == 1 ? n * 0.5 + 0.5 : clay;
      colour = line.a > 0.0 ? line : vec4(shown, 1.0);
    }`;
  let gl = null,
    program = null,
    at = {},
    held = {}, // buffers by name, refilled for each mesh
    solid = null,
    counts = null,
    last = null;

  function begin() {
    gl = canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: true });
    if (!gl) return false;
    held = {};
    program = gl.createProgram();
    for (const [kind, code] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, code);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return false;
    for (const name of ["camera", "nearer", "picture", "look", "eye", "line"]) at[name] = gl.getUniformLocation(program, name);
    gl.useProgram(program);
    gl.enable(gl.DEPTH_TEST);
    return true;
  }

  function fill(target, name, values) {
    held[name] ??= gl.createBuffer();
    gl.bindBuffer(target, held[name]);
    gl.bufferData(target, values, gl.STATIC_DRAW);
  }

  function attribute(name, values, size) {
    const slot = gl.getAttribLocation(program, name);
    if (!values) return gl.disableVertexAttribArray(slot);
    fill(gl.ARRAY_BUFFER, name, values);
    gl.enableVertexAttribArray(slot);
    gl.vertexAttribPointer(slot, size, gl.FLOAT, false, 0, 0);
  }

  function upload() {
    const edges = still.edges(solid);
    attribute("position", solid.positions, 3);
    attribute("normal", solid.normals, 3);
    attribute("place", solid.places, 2);
    fill(gl.ELEMENT_ARRAY_BUFFER, "faces", solid.corners);
    fill(gl.ELEMENT_ARRAY_BUFFER, "edges", edges);
    counts = { faces: solid.corners.length, edges: edges.length };
    if (!solid.picture) return;
    held.picture ??= gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, held.picture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, solid.picture);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  }

  function elements(kind, name) {
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, held[name]);
    gl.drawElements(kind, counts[name], gl.UNSIGNED_INT, 0);
  }

  const able = begin();
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => {
    begin();
    if (!solid) return;
    upload();
    if (last) stage.draw(last);
  });

  const stage = {
    able,
    show(what) {
      solid = what;
      upload();
    },
    draw(view) {
      last = view;
      if (!counts || gl.isContextLost()) return;
      const scale = Math.min(devicePixelRatio || 1, SHARPEST);
      const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale].map(Math.round);
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      gl.viewport(0, 0, width, height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      const { matrix, eye } = seenFrom(view, width / Math.max(height, 1), FIELD);
      gl.uniformMatrix4fv(at.camera, false, matrix);
      gl.uniform3fv(at.eye, eye);
      gl.uniform1i(at.look, still.looks.indexOf(view.look === "colours" && !solid.picture ? "clay" : view.look));
      gl.uniform1f(at.nearer, 0);
      gl.uniform4f(at.line, 0, 0, 0, 0);
      elements(gl.TRIANGLES, "faces");
      if (!view.edges) return;
      gl.uniform1f(at.nearer, 0.0004);
      gl.uniform4f(at.line, 0.12, 0.1, 0.08, 1);
      elements(gl.LINES, "edges");
    },
  };

  /* +Y up, azimuth 0 looks at the front, which is +Z: as glTF has it. Column by column, as WebGL takes it. */
  function seenFrom({ azimuth, elevation, distance }, aspect, field) {
    const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
    const back = [Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)];
    const right = [Math.cos(a), 0, -Math.sin(a)];
    const up = [-Math.sin(a) * Math.sin(e), Math.cos(e), -Math.cos(a) * Math.sin(e)];
    const zoom = 1 / Math.tan((field * Math.PI) / 360) / Math.max(1, 1 / aspect); // so that a narrow frame shows the whole thing
    const [near, far] = [distance / 20, distance + 4];
    const [p, q] = [(near + far) / (near - far), (2 * near * far) / (near - far)];
    const columns = [0, 1, 2].map((i) => [(zoom / aspect) * right[i], zoom * up[i], p * back[i], -back[i]]);
    return { matrix: Float32Array.from([...columns.flat(), 0, 0, q - p * distance, distance]), eye: back };
  }
  return stage;
};
