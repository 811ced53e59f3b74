// Keyboard, polling and the help of the review desk. Everything works without this file.
import { initAll } from "./vendor/govuk-frontend-6.6.0.min.js";

const all = (selector) => Array.from(document.querySelectorAll(selector));
const kept = (store, name) => { try { return store.getItem(name); } catch { return null; } };
const keep = (store, name, value) => { try { store.setItem(name, value); } catch { /* not kept */ } };

document.body.classList.add("js-enabled");
if ("noModule" in HTMLScriptElement.prototype) document.body.classList.add("govuk-frontend-supported");
initAll();

// Polling: only while somebody looks, has not paused it, and is not in the middle of what would be
// replaced.

const pauseButton = document.querySelector("[data-pause]");
let paused = kept(sessionStorage, "pillarbox-paused") === "yes";
const said = document.getElementById("live-said");
let announced = new Map(all("[data-live]").map((one) => [one.id, announcement(one)]));

function announcement(fragment) {
  return fragment.querySelector("[data-announce]")?.dataset.announce ?? "";
}

function inUse(fragment) {
  const selection = document.getSelection();
  const selected = selection && !selection.isCollapsed && fragment.contains(selection.anchorNode);
  return selected || fragment.contains(document.activeElement);
}

function showPause() {
  if (!pauseButton) return;
  pauseButton.hidden = all("[data-live]").length === 0;
  pauseButton.textContent = paused ? "Resume updates" : "Pause updates";
}

pauseButton?.addEventListener("click", () => {
  paused = !paused;
  keep(sessionStorage, "pillarbox-paused", paused ? "yes" : "no");
  showPause();
  if (!paused) refresh();
});

function refresh() {
  for (const one of all("[data-live]")) window.htmx?.trigger(one, "refresh");
}

document.addEventListener("htmx:beforeRequest", (event) => {
  const fragment = event.detail.elt;
  if (!fragment.matches("[data-live]")) return;
  if (document.hidden || paused || inUse(fragment)) event.preventDefault();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const fragment = event.detail.target;
  if (fragment.matches?.("[data-live]") && inUse(fragment)) event.detail.shouldSwap = false;
});
document.addEventListener("htmx:afterSettle", () => {
  for (const one of all("[data-live]")) {
    const words = announcement(one);
    if (said && words && words !== announced.get(one.id)) said.textContent = words;
    announced.set(one.id, words);
    initAll({ scope: one });
  }
  showPause();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
showPause();

// Keyboard: real focus moves, so what is marked is what a screen reader reads and Enter opens.

const keys = document.getElementById("keys");
const keysOn = document.getElementById("keys-on");
keysOn.checked = kept(localStorage, "pillarbox-keys") !== "off";
keysOn.addEventListener("change", () => keep(localStorage, "pillarbox-keys", keysOn.checked ? "on" : "off"));
for (const button of all("[data-help]")) {
  button.hidden = false;
  button.addEventListener("click", () => keys.showModal());
}

const rows = () => all("[data-rows] > *").filter((row) => row.querySelector("a, button"));
const rowOf = (element) => element?.closest("[data-rows] > *");

function move(step) {
  const list = rows();
  if (!list.length) return;
  const at = list.indexOf(rowOf(document.activeElement));
  const next = list[Math.min(Math.max(at + step, 0), list.length - 1)];
  next.querySelector("a, button").focus();
  next.scrollIntoView({ block: "nearest" });
}

function press(key) {
  const scope = rowOf(document.activeElement) ?? document;
  (scope.querySelector(`[data-key="${key}"]`) ?? document.querySelector(`main [data-key="${key}"]`))?.click();
}

function search() {
  const field = document.querySelector("[data-search]");
  if (field) {
    field.focus();
    field.select();
  } else if (document.querySelector('a[href="/people"]')) location.assign("/people");
}

const deeds = {
  j: () => move(1),
  k: () => move(-1),
  r: () => press("r"),
  e: () => press("e"),
  "/": search,
  "?": () => keys.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || keys.open) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (!keysOn.checked && event.key !== "?") return;
  const deed = deeds[event.key];
  if (!deed) return;
  event.preventDefault();
  deed();
});
