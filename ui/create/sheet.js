"use strict";
/* On a phone the settings are a sheet from below, so that the picture stays in sight while one turns them. */

still.sheet = (() => {
  const { make } = still;
  const phone = matchMedia("(max-width: 760px)");
  const open = make("button", { className: "sl-small", id: "settings-open", ariaExpanded: "false", onclick: () => show(true) }, "Settings");
  const close = make("button", { className: "sl-corner sl-sheet-close", ariaLabel: "Close the settings", title: "Close", onclick: () => show(false) }, "×");
  const veil = make("div", { className: "sl-sheet-veil", onclick: () => show(false) });
  const sheet = () => document.querySelector("#settings");
  const shown = () => Boolean(sheet()?.classList.contains("sl-sheet-open"));

  function show(on) {
    if (on === shown()) return;
    if (!sheet().contains(close)) sheet().prepend(close);
    if (!veil.isConnected) sheet().after(veil);
    sheet().classList.toggle("sl-sheet-open", on);
    open.ariaExpanded = String(on);
    (on ? close : open).focus();
    if (on) history.pushState({ ...history.state, sheet: true }, ""); // Back closes it
    else if (history.state?.sheet) history.back();
  }

  addEventListener("popstate", () => shown() && !history.state?.sheet && show(false));
  addEventListener("keydown", (event) => event.key === "Escape" && shown() && (event.stopImmediatePropagation(), show(false)), true);
  phone.addEventListener("change", () => show(false));
  return { open };
})();
