// The tools: what a press, a move and a release at a point of the picture do to the mask.

import { floodArea } from "./flood.js";

export class Painter {
  // `onChange` is called after each change that is seen, `onStep` after each step that undo can take back.
  // `findObject` returns the object at a pixel as tiles of the mask.
  constructor(mask, pictures, drawing, findObject, { onChange, onStep, onBusy, onFailure }) {
    this.mask = mask;
    this.pictures = pictures;
    this.drawing = drawing;
    this.findObject = findObject;
    this.onChange = onChange;
    this.onStep = onStep;
    this.onBusy = onBusy;
    this.onFailure = onFailure;
    // "brush", "eraser", "lasso", "flood", "object" or "hand".
    this.tool = "brush";
    // For lasso, flood and object: whether their area is taken away from the mask.
    this.takesAway = false;
    this.size = 40;
    this.softness = 0.2;
    this.tolerance = 24;
    this.last = null;
    // Counts what has been looked for: only the last one is taken.
    this.searches = 0;
    this.pending = 0;
  }

  get isBusy() {
    return this.last !== null || this.drawing.outline !== null;
  }

  // The radius at a pressure of 0 to 1.
  radius(pressure) {
    return Math.max(0.5, (this.size / 2) * pressure);
  }

  // Whether the tool only needs a point, and does its work when it is released there.
  get isPointing() {
    return this.tool === "flood" || this.tool === "object";
  }

  press(x, y, pressure = 1) {
    if (this.isPointing) return;
    if (this.tool === "lasso") {
      this.drawing.outline = [[x, y]];
      return;
    }
    this.mask.begin();
    this.last = [x, y, this.radius(pressure)];
    this.move(x, y, pressure);
  }

  move(x, y, pressure = 1) {
    if (this.drawing.outline !== null) {
      this.drawing.outline.push([x, y]);
    } else if (this.last !== null) {
      const radius = this.radius(pressure);
      this.mask.paintSegment(...this.last, x, y, radius, this.softness, this.tool === "eraser");
      this.last = [x, y, radius];
    }
    this.onChange();
  }

  release(x, y) {
    if (this.isPointing) return this.search(Math.floor(x), Math.floor(y));
    if (this.drawing.outline !== null) {
      this.mask.begin();
      this.mask.fillOutline(this.drawing.outline, this.takesAway);
      this.drawing.outline = null;
    }
    this.last = null;
    this.finish();
    return Promise.resolve();
  }

  // Give up the stroke or the outline that has begun.
  cancel() {
    this.searches += 1;
    this.drawing.outline = null;
    if (this.last !== null) this.mask.cancel();
    this.last = null;
    this.onChange();
  }

  finish() {
    if (this.mask.end()) this.onStep();
    this.onChange();
  }

  // Find what is at a pixel, and take it into the mask, unless something else has been begun meanwhile.
  async search(x, y) {
    if (x < 0 || y < 0 || x >= this.mask.width || y >= this.mask.height) return;
    const number = ++this.searches;
    const isStopped = () => number !== this.searches;
    this.pending += 1;
    this.onBusy(true);
    try {
      const pixels = (column, row) => this.pictures.pixels(column, row);
      const areas =
        this.tool === "object" ? await this.findObject(x, y) : await floodArea(this.mask, pixels, x, y, this.tolerance, isStopped);
      if (!isStopped()) this.change(() => this.mask.applyTiles(areas, this.takesAway));
    } catch (error) {
      if (!isStopped()) this.onFailure(error);
    } finally {
      this.pending -= 1;
      this.onBusy(this.pending > 0);
    }
  }

  // Do something to the mask as one step.
  change(act) {
    this.cancel();
    this.mask.begin();
    act();
    this.finish();
  }

  undo() {
    this.cancel();
    if (this.mask.undo()) this.onStep();
    this.onChange();
  }

  redo() {
    this.cancel();
    if (this.mask.redo()) this.onStep();
    this.onChange();
  }
}
