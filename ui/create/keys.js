"use strict";
/* The keyboard. Letters act on the selected picture, except while text is typed. On a layout without Latin letters the
   position of the key counts. */

still.keys = (() => {
  const SHEET = [
    ["Enter", "in the prompt: paint, and keep the pictures"],
    ["Shift Enter", "in the prompt: a new line"],
    ["Ctrl Enter", "paint and keep, from anywhere"],
    ["Ctrl Z, Ctrl Y", "undo and redo prompts, seeds and pictures"],
    ["Esc", "stop; close"],
    ["/", "to the prompt"],
    ["R", "roll the seed"],
    ["← → ↑ ↓", "walk through the pictures"],
    ["Enter", "look closer"],
    ["F", "favourite"],
    ["D", "download"],
    ["M", "more like this"],
    ["U", "use its settings"],
    ["C", "compare: this one is A, the next B"],
    ["L", "copy its link"],
    ["Delete", "delete from the gallery"],
    ["?", "this sheet"],
  ];
  let selected = null;
  still.on("selected", (what) => {
    selected = what;
  });

  const typing = (target) =>
    target.closest?.(
      "input:not([type=radio]):not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]",
    );

  function columns() {
    const container = document.activeElement?.closest(".sl-wall, .sl-strip") ?? document.querySelector(".sl-wall");
    return container ? getComputedStyle(container).gridTemplateColumns.split(" ").length : 1;
  }

  function walk(by) {
    if (still.closeup.open) return still.closeup.step(Math.sign(by));
    if (!selected) return undefined;
    const to = selected.index + by;
    return selected.pictures[to] && selected.walk(to);
  }

  const letters = { f: "favourite", d: "download", m: "more", u: "settings", c: "compare", l: "link" };
  const arrows = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -columns(), ArrowDown: () => columns() };

  function act(key) {
    const picture = still.closeup.open ? still.closeup.picture : selected?.picture;
    if (letters[key] && picture) {
      if (["more", "settings", "compare"].includes(letters[key])) still.closeup.close();
      return still.actions[letters[key]](picture) ?? true;
    }
    if (key === "r") return document.querySelector("#roll")?.click() ?? true;
    if (key === "?") return still.closeup.sheet(SHEET) ?? true;
    if (key === "/") return document.querySelector("#prompt")?.focus() ?? true;
    if (key === "enter" && selected && !still.closeup.open) return still.emit("open", selected) ?? true;
    if (key === "delete" && picture?.id)
      return still.closeup.open ? (still.closeup.remove() ?? true) : (still.emit("open", selected) ?? true);
    return false;
  }

  const keyOf = ({ key, code }) =>
    (key.length === 1 && key > "~" && code.startsWith("Key") ? code.slice(3) : key).toLowerCase();

  addEventListener("keydown", (event) => {
    if (event.isComposing || !document.querySelector("#create")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      still.painter.paint();
    } else if (event.key === "Escape") {
      const compared = document.querySelector("#compare-close");
      if (compared?.offsetParent) compared.click();
      else if (still.painter.busy) still.painter.stop();
      else if (typing(event.target)) event.target.blur();
    } else if (!event.ctrlKey && !event.metaKey && !event.altKey && !typing(event.target)) {
      const radio = event.target.matches?.("input");
      const button = event.target.closest?.("button, a, summary");
      if (arrows[event.key] && !radio) {
        event.preventDefault();
        walk(arrows[event.key]());
      } else if (!(button && event.key === "Enter") && act(keyOf(event))) event.preventDefault();
    }
  });

  /* A picture dropped anywhere goes to the upload button, which restores its settings. */
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("sl-drop");
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("sl-drop"));
  addEventListener("drop", (event) => {
    document.body.classList.remove("sl-drop");
    const input = document.querySelector("#restore-part input[type=file]");
    if (!event.dataTransfer?.files.length || !input || event.target.closest?.("[data-own-drop]")) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    const one = new DataTransfer();
    one.items.add(file);
    input.files = one.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  return { SHEET };
})();
