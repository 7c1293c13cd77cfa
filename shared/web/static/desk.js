// Keyboard of the desk: j and k move in the list, Enter opens (the link has the focus), / searches, ? shows the keys.

const list = document.querySelector("[data-desk-list]");
const links = () => [...list.querySelectorAll("[data-row] a")];
const keys = document.querySelector("[data-keys]");

const move = (step) => {
  const all = links();
  if (all.length === 0) return;
  const focused = all.indexOf(document.activeElement);
  const here = focused >= 0 ? focused : all.findIndex((link) => link.hasAttribute("aria-current"));
  all[Math.min(Math.max(here + step, 0), all.length - 1)].focus();
};

const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = {
    j: () => move(1),
    k: () => move(-1),
    "/": () => list.querySelector('input[type="search"]')?.focus(),
    "?": () => keys.showModal(),
  }[event.key];
  if (act && !keys.open) {
    event.preventDefault();
    act();
  }
});

// The list is long: keep the open case's row in view, and let Tab continue in the case and not through the list.
list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
if (document.body.classList.contains("case-open") && !document.querySelector("[autofocus]")) {
  document.querySelector("#case").focus({ preventScroll: true });
}
