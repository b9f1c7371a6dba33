// The tools: what a press, a move and a release at a point of the picture do to the mask.

import { floodArea } from "./flood.js";

export class Painter {
  // `onChange` is called after each change that is seen, `onStep` after each step that undo can take back.
  constructor(mask, pictures, drawing, { onChange, onStep, onBusy, onFailure }) {
    this.mask = mask;
    this.pictures = pictures;
    this.drawing = drawing;
    this.onChange = onChange;
    this.onStep = onStep;
    this.onBusy = onBusy;
    this.onFailure = onFailure;
    // "brush", "eraser", "lasso", "flood" or "hand".
    this.tool = "brush";
    // For lasso and flood: whether their area is taken away from the mask.
    this.takesAway = false;
    this.size = 40;
    this.softness = 0.2;
    this.tolerance = 24;
    this.last = null;
    this.floods = 0;
  }

  get isBusy() {
    return this.last !== null || this.drawing.outline !== null;
  }

  // The radius at a pressure of 0 to 1.
  radius(pressure) {
    return Math.max(0.5, (this.size / 2) * pressure);
  }

  press(x, y, pressure = 1) {
    if (this.tool === "flood") return;
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
    if (this.tool === "flood") return this.flood(Math.floor(x), Math.floor(y));
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
    this.floods += 1;
    this.drawing.outline = null;
    if (this.last !== null) this.mask.cancel();
    this.last = null;
    this.onChange();
  }

  finish() {
    if (this.mask.end()) this.onStep();
    this.onChange();
  }

  async flood(x, y) {
    if (x < 0 || y < 0 || x >= this.mask.width || y >= this.mask.height) return;
    const number = ++this.floods;
    this.onBusy(true);
    try {
      const isStopped = () => number !== this.floods;
      const pixels = (column, row) => this.pictures.pixels(column, row);
      const areas = await floodArea(this.mask, pixels, x, y, this.tolerance, isStopped);
      if (!isStopped()) this.change(() => this.mask.applyTiles(areas, this.takesAway));
    } catch (error) {
      this.onFailure(error);
    } finally {
      this.onBusy(false);
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
