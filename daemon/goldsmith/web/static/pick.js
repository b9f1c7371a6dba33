// Picking among candidates: a list box with several choices, by keyboard, mouse and touch.
import { attempt, say, send } from "/static/base.js";

const grid = document.getElementById("grid");
const cells = [...grid.querySelectorAll(".cell")];
const opener = document.getElementById("open");

function focusCell(cell) {
  if (!cell) return;
  for (const each of cells) each.tabIndex = each === cell ? 0 : -1;
  cell.focus();
  opener.href = `/look/${cell.dataset.path}`;
}

function toggle(cell) {
  if (!cell) return;
  cell.setAttribute("aria-selected", String(cell.getAttribute("aria-selected") !== "true"));
  focusCell(cell);
}

/** Return how many cells stand side by side. */
function columns() {
  const top = cells[0].offsetTop;
  const count = cells.findIndex((cell) => cell.offsetTop !== top);
  return count < 0 ? cells.length : count;
}

grid.addEventListener("click", (event) => toggle(event.target.closest(".cell")));
grid.addEventListener("dblclick", (event) => open(event.target.closest(".cell")));

function open(cell) {
  if (cell) location.assign(`/look/${cell.dataset.path}`);
}

grid.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const place = cells.indexOf(document.activeElement);
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
  if (event.key in steps) focusCell(cells[Math.min(cells.length - 1, Math.max(0, place + steps[event.key]))]);
  else if (event.key === "Home") focusCell(cells[0]);
  else if (event.key === "End") focusCell(cells.at(-1));
  else if (event.key === " ") toggle(cells[place]);
  else if (event.key === "Enter") open(cells[place]);
  else if (/^[1-9]$/.test(event.key)) toggle(cells[Number(event.key) - 1]);
  else return;
  event.preventDefault();
});

function asSeen(element) {
  return { path: element.dataset.path, version: element.dataset.version };
}

async function decide(chosen, sheet) {
  const request = { chosen: chosen.map(asSeen) };
  if (sheet) request.sheet = asSeen(sheet);
  await attempt(async () => { location.assign((await send("/pick", { json: request })).next); });
}

document.getElementById("approve")?.addEventListener("click", () => {
  const chosen = cells.filter((cell) => cell.getAttribute("aria-selected") === "true");
  if (chosen.length) decide(chosen);
  else say(grid.dataset.nothingChosen, { isProblem: true });
});
document.getElementById("close")?.addEventListener("click", (event) => decide([], event.currentTarget));
