"use strict";
/* The sheet of Compare as one PNG: a column each, its name, steps and time above its pictures, the words below them all. */

still.comparedSheet = async ({ prompt, columns }) => {
  const SIDE = 256,
    GAP = 12,
    HEAD = 44,
    FOOT = 34;
  const rows = Math.max(...columns.map((c) => c.images.length));
  const canvas = document.createElement("canvas");
  canvas.width = columns.length * (SIDE + GAP) + GAP;
  canvas.height = HEAD + rows * (SIDE + GAP) + FOOT;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fffcf8";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  for (const [k, { title, facts, images }] of columns.entries()) {
    const x = GAP + k * (SIDE + GAP);
    pen.fillStyle = "#2a241d";
    pen.font = "600 15px system-ui, sans-serif";
    pen.fillText(title, x, 19, SIDE);
    pen.fillStyle = "#756a5d";
    pen.font = "13px system-ui, sans-serif";
    pen.fillText(facts, x, 36, SIDE);
    for (const [row, image] of images.entries()) {
      await image.decode();
      pen.drawImage(image, x, HEAD + row * (SIDE + GAP), SIDE, SIDE);
    }
  }
  pen.fillStyle = "#2a241d";
  pen.font = "15px Georgia, serif";
  pen.fillText(prompt, GAP, canvas.height - 12, canvas.width - 2 * GAP);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const link = still.make("a", { href: URL.createObjectURL(blob), download: "compare.png" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};
