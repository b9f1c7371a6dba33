// The page that paints a mask: it joins the mask, the screen, the tools, the draft in the browser and the mask on the server.

import { Drafts } from "./drafts.js";
import { Drawing } from "./drawing.js";
import { Gestures } from "./gestures.js";
import { Keyboard } from "./keyboard.js";
import { Mask, sizeOf } from "./mask.js";
import { Painter } from "./painter.js";
import { PictureTiles } from "./picture_tiles.js";
import { SavedMask } from "./saved_mask.js";
import { Viewport } from "./viewport.js";

const OVERLAYS = ["tint", "mask", "none"];
const ANYTHING = "*";
const CONFLICT = 409;

const $ = (id) => document.getElementById(id);

class PaintPage {
  constructor(canvas, saved, bytes) {
    this.canvas = canvas;
    this.saved = saved;
    this.sentences = $("paint-sentences").dataset;
    this.mask = new Mask(...sizeOf(bytes));
    this.mask.open(this.mask.tilesOf(bytes));
    // Which mask on the server the painting began with.
    this.base = saved.stamp;
    this.savedVersions = this.mask.versions.slice();
    // How many problems have been said.
    this.problemCount = 0;
    this.drafts = new Drafts(canvas.dataset.mask);
    this.viewport = new Viewport(this.mask.width, this.mask.height);
    this.pictures = new PictureTiles(
      canvas.dataset.whole,
      canvas.dataset.tiles,
      () => this.drawing.request(),
      (error) => this.say(error.message, true),
    );
    this.drawing = new Drawing(canvas, this.viewport, this.mask, this.pictures);
    this.painter = new Painter(this.mask, this.pictures, this.drawing, (x, y) => this.find("object", [x, y]), {
      onChange: () => this.drawing.request(),
      onStep: () => this.keepDraft(),
      onBusy: (isBusy) => this.setBusy(isBusy),
      onFailure: (error) => this.say(error.message, true),
    });
    this.gestures = new Gestures(canvas, this.viewport, this.painter, this.drawing);
    this.actions = this.listActions();
    this.keyboard = new Keyboard(canvas, this.viewport, this.painter, this.drawing, this.gestures, this.actions);
    this.connectControls();
  }

  async start() {
    this.setSize(Math.max(2, Math.round(Math.min(this.mask.width, this.mask.height) / 16)));
    this.setSoftness(this.painter.softness);
    this.choose("brush");
    await this.run(() => this.openDraft());
    this.pictures.loadWhole().catch((error) => this.say(error.message, true));
    this.refresh();
    this.drawing.request();
    this.canvas.dataset.ready = "true";
  }

  say(sentence, isProblem = false) {
    this.problemCount += Number(isProblem);
    $("paint-status").textContent = sentence;
    $("paint-status").classList.toggle("problem", isProblem);
  }

  setBusy(isBusy) {
    this.canvas.setAttribute("aria-busy", String(isBusy));
    // A search that was given up has nothing more to say.
    if (!isBusy && $("paint-status").textContent === this.sentences.proposing) this.say("");
  }

  // Run what a button does, and say why it fails.
  async run(act) {
    try {
      await act();
    } catch (error) {
      this.say(error.message, true);
    }
  }

  // ---------------------------------------------------------------- the draft and the saved mask

  get isSaved() {
    return this.savedVersions.every((version, index) => version === this.mask.versions[index]);
  }

  async keepDraft() {
    this.refresh();
    const countBefore = this.problemCount;
    try {
      await this.drafts.keep(this.mask, this.base);
      // A problem that was said meanwhile, such as why the mask cannot be saved, stays.
      if (this.problemCount === countBefore) this.say(this.sentences.kept);
    } catch {
      this.say(this.sentences.notKept, true);
    }
  }

  async openDraft() {
    try {
      await this.drafts.connect();
    } catch {
      throw new Error(this.sentences.notKept);
    }
    const draft = await this.drafts.load();
    if (draft === null) return;
    if (draft.width !== this.mask.width || draft.height !== this.mask.height) {
      $("paint-discard").hidden = false;
      throw new Error(this.sentences.otherSize);
    }
    this.base = draft.base;
    for (const [index, tile] of draft.tiles) this.mask.replace(index, tile);
    $("paint-discard").hidden = false;
    this.say(this.sentences.restored);
  }

  async save(stamp = this.base) {
    this.painter.cancel();
    if (this.mask.isEmpty()) throw new Error(this.sentences.empty);
    this.say(this.sentences.saving);
    const versions = this.mask.versions.slice();
    let sentence;
    try {
      sentence = await this.saved.save(this.mask.toBytes(), stamp);
    } catch (error) {
      $("paint-replace").hidden = error.status !== CONFLICT;
      throw error;
    }
    this.base = this.saved.stamp;
    this.savedVersions = versions;
    $("paint-replace").hidden = $("paint-discard").hidden = true;
    await (this.isSaved ? this.drafts.forget() : this.drafts.keep(this.mask, this.base));
    this.refresh();
    this.say(sentence);
  }

  async discard() {
    await this.drafts.forget();
    location.reload();
  }

  // Return a region that the server finds, or the object at a pixel, as tiles by their numbers.
  async find(region, place = null) {
    this.say(this.sentences.proposing);
    const tiles = this.mask.tilesOf(await this.saved.propose(region, place));
    const areas = new Map();
    tiles.forEach((tile, index) => {
      const { width, height } = this.mask.tileBox(index);
      if (tile !== 0) areas.set(index, typeof tile === "number" ? new Uint8Array(width * height).fill(tile) : tile);
    });
    return areas;
  }

  async propose(region) {
    this.setBusy(true);
    try {
      const areas = await this.find(region);
      this.painter.change(() => this.mask.applyTiles(areas, this.painter.takesAway));
    } finally {
      this.setBusy(false);
    }
  }

  // ---------------------------------------------------------------- the tools

  listActions() {
    const { painter, mask, viewport } = this;
    // The page offers only the tools for which this machine has what they need.
    const tools = Array.from(document.querySelectorAll("input[name=tool]"), (input) => input.value);
    const zoom = (change) => {
      change();
      this.drawing.request();
    };
    return {
      ...Object.fromEntries(tools.map((tool) => [tool, () => this.choose(tool)])),
      takeAway: () => this.setTakesAway(!painter.takesAway),
      overlay: () => this.nextOverlay(),
      undo: () => painter.undo(),
      redo: () => painter.redo(),
      invert: () => painter.change(() => mask.invert()),
      clear: () => painter.change(() => mask.clear()),
      smaller: () => this.setSize(Math.min(painter.size - 1, painter.size / 1.25)),
      larger: () => this.setSize(Math.max(painter.size + 1, painter.size * 1.25)),
      harder: () => this.setSoftness(painter.softness - 0.1),
      softer: () => this.setSoftness(painter.softness + 0.1),
      zoomIn: () => zoom(() => viewport.zoomTo(viewport.scale * 1.5)),
      zoomOut: () => zoom(() => viewport.zoomTo(viewport.scale / 1.5)),
      fit: () => zoom(() => viewport.fit()),
      actual: () => zoom(() => viewport.zoomTo(1 / this.drawing.pixelRatio)),
      save: () => this.run(() => this.save()),
      replace: () => this.run(() => this.save(ANYTHING)),
      discard: () => this.run(() => this.discard()),
    };
  }

  connectControls() {
    for (const button of document.querySelectorAll("button[data-action]")) {
      button.addEventListener("click", () => this.actions[button.dataset.action]());
    }
    for (const button of document.querySelectorAll("button[data-region]")) {
      button.addEventListener("click", () => this.run(() => this.propose(button.dataset.region)));
    }
    for (const input of document.querySelectorAll("input[name=tool]")) {
      input.addEventListener("change", () => this.choose(input.value));
    }
    const number = (event) => Number(event.target.value);
    $("paint-size").addEventListener("input", (event) => this.setSize(number(event)));
    $("paint-softness").addEventListener("input", (event) => this.setSoftness(number(event) / 100));
    $("paint-tolerance").addEventListener("input", (event) => this.setTolerance(number(event)));
    $("paint-take-away").addEventListener("change", (event) => this.setTakesAway(event.target.checked));
    // Every finished step is in the draft, so only a stroke in the middle needs a question.
    addEventListener("beforeunload", (event) => {
      if (this.painter.isBusy) event.preventDefault();
    });
  }

  choose(tool) {
    this.painter.cancel();
    this.painter.tool = tool;
    this.canvas.dataset.tool = tool;
    document.querySelector(`input[name=tool][value=${tool}]`).checked = true;
  }

  setSize(size) {
    this.painter.size = Math.max(1, Math.min(Number($("paint-size").max), Math.round(size)));
    $("paint-size").value = String(this.painter.size);
    $("paint-size-text").textContent = `${this.painter.size} px`;
    if (this.drawing.cursor !== null) this.drawing.cursor.radius = this.painter.size / 2;
    this.drawing.request();
  }

  setSoftness(softness) {
    this.painter.softness = Math.max(0, Math.min(1, softness));
    $("paint-softness").value = String(Math.round(100 * this.painter.softness));
    $("paint-softness-text").textContent = `${Math.round(100 * this.painter.softness)} %`;
  }

  setTolerance(tolerance) {
    this.painter.tolerance = tolerance;
    $("paint-tolerance-text").textContent = String(tolerance);
  }

  setTakesAway(takesAway) {
    this.painter.takesAway = takesAway;
    $("paint-take-away").checked = takesAway;
  }

  nextOverlay() {
    this.drawing.overlay = OVERLAYS[(OVERLAYS.indexOf(this.drawing.overlay) + 1) % OVERLAYS.length];
    this.canvas.dataset.overlay = this.drawing.overlay;
    this.drawing.request();
  }

  refresh() {
    $("paint-undo").disabled = this.mask.done.length === 0;
    $("paint-redo").disabled = this.mask.undone.length === 0;
    this.canvas.dataset.saved = String(this.isSaved);
  }
}

async function main() {
  const canvas = $("paint-canvas");
  const saved = new SavedMask(canvas.dataset.mask, canvas.dataset.proposal);
  try {
    const bytes = await saved.open();
    $("paint-status").textContent = "";
    await new PaintPage(canvas, saved, bytes).start();
  } catch (error) {
    $("paint-status").textContent = error.message;
    $("paint-status").classList.add("problem");
    canvas.dataset.ready = "failed";
  }
}

main();
