// Looking at one picture: zoom in tiles at the picture's own pixels, before and after, mask, findings; and the decision.
import { attempt, reach, refusalOf, say, send } from "/static/base.js";

const look = document.getElementById("look");
const viewer = document.getElementById("viewer");
const content = document.getElementById("content");
const TILE = 512;
const byId = (id) => document.getElementById(id);

/** The layers: their element, the addresses of their tiles, and the size of their file in px once it is known. */
const layers = [
  { element: byId("after"), address: look.dataset.path, version: look.dataset.version, tile: "tile" },
  { element: byId("before"), address: look.dataset.before, version: look.dataset.beforeVersion, tile: "tile" },
  { element: byId("mask-layer"), address: look.dataset.mask, version: look.dataset.maskVersion, tile: "mask-tile" },
].filter((layer) => layer.element);
const [after] = layers;
const before = layers.find((layer) => layer.element.id === "before");

let zoom = 0; // 0 = fit, else screen pixels for each pixel of the picture
let size = null; // of the picture, in px
let isComparing = false;
let isBlinking = false;

/** Return the width and height of the picture on the screen, in CSS px. */
function shownSize() {
  if (!size) return { width: viewer.clientWidth, height: viewer.clientHeight };
  if (zoom) return { width: (size.width * zoom) / devicePixelRatio, height: (size.height * zoom) / devicePixelRatio };
  const scale = Math.min(viewer.clientWidth / size.width, viewer.clientHeight / size.height, 1);
  return { width: size.width * scale, height: size.height * scale };
}

function layOut() {
  const { width, height } = shownSize();
  content.style.width = `${width}px`;
  content.style.height = `${height}px`;
  content.style.marginTop = `${Math.max(0, (viewer.clientHeight - height) / 2)}px`;
  content.classList.toggle("tiled", zoom > 0);
  for (const box of document.querySelectorAll(".box")) {
    if (!size) break;
    box.style.left = `${(box.dataset.left / size.width) * 100}%`;
    box.style.top = `${(box.dataset.top / size.height) * 100}%`;
    box.style.width = `${(box.dataset.width / size.width) * 100}%`;
    box.style.height = `${(box.dataset.height / size.height) * 100}%`;
  }
  drawTiles();
  drawComparison();
}

/** Put the tiles that can be seen into each layer that is shown, and take the others out. */
function drawTiles() {
  for (const layer of layers) {
    const old = new Map([...layer.element.querySelectorAll(".tile")].map((tile) => [tile.dataset.place, tile]));
    if (zoom && layer.size && !layer.element.hidden) {
      for (const place of visiblePlaces(layer)) {
        if (old.delete(place.key)) continue;
        const tile = new Image();
        tile.className = "tile";
        tile.alt = "";
        tile.dataset.place = place.key;
        for (const side of ["left", "top", "width", "height"]) tile.style[side] = `${place[side]}px`;
        tile.src = `/${layer.tile}/${place.column}/${place.row}/${layer.address}?v=${layer.version}`;
        layer.element.append(tile);
      }
    }
    for (const tile of old.values()) tile.remove();
  }
}

function* visiblePlaces(layer) {
  const shown = shownSize();
  const scale = shown.width / layer.size.width;
  const step = TILE * scale;
  const origin = content.offsetLeft;
  const [left, top] = [viewer.scrollLeft - origin, viewer.scrollTop - content.offsetTop];
  const lastColumn = Math.ceil(layer.size.width / TILE) - 1;
  const lastRow = Math.ceil(layer.size.height / TILE) - 1;
  for (let row = Math.max(0, Math.floor(top / step)); row <= Math.min(lastRow, Math.floor((top + viewer.clientHeight) / step)); row++) {
    for (let column = Math.max(0, Math.floor(left / step)); column <= Math.min(lastColumn, Math.floor((left + viewer.clientWidth) / step)); column++) {
      yield {
        row, column, key: `${zoom} ${column} ${row}`, left: column * step, top: row * step,
        width: Math.min(TILE, layer.size.width - column * TILE) * scale,
        height: Math.min(TILE, layer.size.height - row * TILE) * scale,
      };
    }
  }
}

function drawComparison() {
  if (!before) return;
  const { width } = shownSize();
  const seenWidth = Math.min(viewer.clientWidth, width);
  const edge = Math.max(0, viewer.scrollLeft - content.offsetLeft) + (seenWidth * byId("slider").value) / 1000;
  before.element.style.clipPath = isComparing ? `inset(0 ${Math.max(0, width - edge)}px 0 0)` : "";
  byId("edge").hidden = !isComparing;
  byId("edge").style.left = `${edge}px`;
  byId("slider-row").hidden = !isComparing;
  byId("label-before").hidden = before.element.hidden;
  byId("label-after").hidden = !isComparing;
}

function setZoom(next, point) {
  const old = shownSize();
  const target = point ?? { x: viewer.clientWidth / 2, y: viewer.clientHeight / 2 };
  const share = {
    x: (viewer.scrollLeft + target.x - content.offsetLeft) / old.width,
    y: (viewer.scrollTop + target.y - content.offsetTop) / old.height,
  };
  zoom = next;
  for (const button of document.querySelectorAll("[data-zoom]")) button.setAttribute("aria-pressed", String(Number(button.dataset.zoom) === zoom));
  layOut();
  const { width, height } = shownSize();
  viewer.scrollTo(share.x * width - target.x + content.offsetLeft, share.y * height - target.y + content.offsetTop);
  layOut();
}

function press(id, isOn) {
  byId(id)?.setAttribute("aria-pressed", String(isOn));
}

function setComparing(isOn) {
  if (!before) return;
  isComparing = isOn;
  if (isOn) isBlinking = false;
  before.element.hidden = !isOn && !isBlinking;
  press("compare", isComparing);
  press("blink", isBlinking);
  layOut();
}

function setBlinking(isOn) {
  if (!before) return;
  isBlinking = isOn;
  isComparing = false;
  before.element.hidden = !isOn;
  press("compare", false);
  press("blink", isOn);
  layOut();
}

function toggleLayer(id, layerId) {
  const element = byId(layerId);
  if (!byId(id)) return;
  element.hidden = !element.hidden;
  press(id, !element.hidden);
  layOut();
}

for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => setZoom(Number(button.dataset.zoom)));
byId("compare")?.addEventListener("click", () => setComparing(!isComparing));
byId("blink")?.addEventListener("click", () => setBlinking(!isBlinking));
byId("mask")?.addEventListener("click", () => toggleLayer("mask", "mask-layer"));
byId("findings")?.addEventListener("click", () => toggleLayer("findings", "boxes"));
byId("slider")?.addEventListener("input", drawComparison);
viewer.addEventListener("scroll", () => { drawTiles(); drawComparison(); }, { passive: true });
viewer.addEventListener("dblclick", (event) => {
  const frame = viewer.getBoundingClientRect();
  setZoom(zoom ? 0 : 1, { x: event.clientX - frame.left, y: event.clientY - frame.top });
});
new ResizeObserver(layOut).observe(viewer);

// Dragging with the mouse moves the picture; a finger scrolls it by itself.
let grip = null;
viewer.addEventListener("pointerdown", (event) => {
  if (event.pointerType !== "mouse" || event.button !== 0 || !zoom) return;
  grip = { x: event.clientX + viewer.scrollLeft, y: event.clientY + viewer.scrollTop };
  viewer.setPointerCapture(event.pointerId);
});
viewer.addEventListener("pointermove", (event) => {
  if (grip) viewer.scrollTo(grip.x - event.clientX, grip.y - event.clientY);
});
for (const kind of ["pointerup", "pointercancel"]) viewer.addEventListener(kind, () => { grip = null; });
viewer.addEventListener("dragstart", (event) => event.preventDefault());

/** Ask for the facts of each layer's file; the size of the picture decides how large all of them are shown. */
async function readFacts(layer) {
  const answer = await reach(`/facts/${layer.address}?v=${layer.version}`, { headers: { accept: "application/json" } });
  if (!answer.ok) throw await refusalOf(answer);
  const facts = await answer.json();
  layer.size = { width: facts.width, height: facts.height };
  if (layer === after) {
    size = layer.size;
    const place = byId("facts");
    const profile = facts.profile || place.dataset.untagged;
    const words = [`${facts.width} x ${facts.height} px`, `${facts.depth} bit`, facts.format.toUpperCase(), profile];
    if (facts.is_converted) words.push(place.dataset.converted);
    place.textContent = [words.join(", "), ...facts.remarks].join(". ");
  }
  layOut();
}
for (const layer of layers) attempt(() => readFacts(layer));

// Deciding.
let isSending = false;

async function decide(decision, remark = "") {
  if (isSending) return;
  isSending = true;
  const json = { path: look.dataset.path, version: look.dataset.version, decision, remark };
  await attempt(async () => {
    const answer = await send("/decide", { json });
    say(answer.done);
    for (const button of document.querySelectorAll(".decide button")) button.disabled = true;
    location.assign(answer.next || "/?state=review");
  });
  isSending = false;
}

const dialog = byId("ask");

function ask(button) {
  dialog.dataset.decision = button.dataset.ask;
  byId("ask-title").textContent = byId("ask-send").textContent = button.textContent.replace("…", "");
  byId("ask-label").textContent = button.dataset.label;
  byId("remark").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  byId("remark").focus();
}

dialog.addEventListener("close", () => {
  if (dialog.returnValue === "send") decide(dialog.dataset.decision, byId("remark").value);
});
byId("remark").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    dialog.close("send");
  }
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-decision]:is(button), [data-ask]");
  if (button?.dataset.decision) decide(button.dataset.decision);
  else if (button) ask(button);
});

// Single keys, which a person can switch off: some use a voice that types.
const KEYS = "goldsmith-keys";
const shortcuts = byId("shortcuts");
shortcuts.checked = localStorage.getItem(KEYS) !== "off";
shortcuts.addEventListener("change", () => localStorage.setItem(KEYS, shortcuts.checked ? "on" : "off"));

const click = (selector) => document.querySelector(selector)?.click();
const ACTIONS = {
  a: () => click('[data-decision="approve"]'), g: () => click('[data-ask="again"]'), x: () => click('[data-ask="reject"]'),
  j: () => click("#next"), k: () => click("#previous"),
  b: () => setBlinking(!isBlinking), c: () => setComparing(!isComparing),
  m: () => toggleLayer("mask", "mask-layer"), f: () => toggleLayer("findings", "boxes"),
  0: () => setZoom(0), 1: () => setZoom(1), 2: () => setZoom(2),
};
document.addEventListener("keydown", (event) => {
  if (!shortcuts.checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat || dialog.open) return;
  if (event.target.closest("input:not([type=range]):not([type=checkbox]), textarea, select")) return;
  const action = ACTIONS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});
