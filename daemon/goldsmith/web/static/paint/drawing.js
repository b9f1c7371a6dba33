// Draws what is on the screen: the tiles of the picture, those of the mask over them, and the pointer. No canvas is larger than the screen.

import { TILE } from "./mask.js";

const TINT = [255, 32, 64];
const OPACITY = 0.55;
const MAX_OVERLAYS = 160;

export class Drawing {
  constructor(canvas, viewport, mask, pictures) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.viewport = viewport;
    this.mask = mask;
    this.pictures = pictures;
    this.overlays = new Map();
    this.isRequested = false;
    // What is drawn over the picture: "tint", "mask" (the mask alone) or "none".
    this.overlay = "tint";
    // The circle of the brush ({ x, y, radius } in px of the picture), and the outline of a lasso that is being drawn.
    this.cursor = null;
    this.outline = null;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  get pixelRatio() {
    return Math.min(3, window.devicePixelRatio || 1);
  }

  resize() {
    // With their fractions: a point of the screen must be the same point of the picture for the tools and for the eye.
    const { width, height } = this.canvas.getBoundingClientRect();
    this.canvas.width = Math.max(1, Math.round(width * this.pixelRatio));
    this.canvas.height = Math.max(1, Math.round(height * this.pixelRatio));
    this.viewport.resize(width, height);
    this.draw();
  }

  request() {
    if (this.isRequested) return;
    this.isRequested = true;
    requestAnimationFrame(() => {
      this.isRequested = false;
      this.draw();
    });
  }

  draw() {
    const { pen, viewport } = this;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.setTransform(this.pixelRatio, 0, 0, this.pixelRatio, 0, 0);
    pen.imageSmoothingEnabled = viewport.scale * this.pixelRatio < 2;
    const drawn = this.overlay === "mask" ? this.drawGround() : this.drawPicture();
    if (this.overlay !== "none") this.drawMask(viewport.level(this.pixelRatio));
    this.canvas.dataset.tiles = String(drawn);
    this.canvas.dataset.zoom = String(Math.round(100 * viewport.scale * this.pixelRatio));
    this.drawOutline();
    this.drawCursor();
  }

  drawGround() {
    const [left, top] = this.viewport.toScreen(0, 0);
    this.pen.fillStyle = "#000";
    this.pen.fillRect(left, top, this.mask.width * this.viewport.scale, this.mask.height * this.viewport.scale);
    return 0;
  }

  // Draw the reduced picture, and over it the tiles at 100 % where it is too coarse. Return how many tiles are on the screen.
  drawPicture() {
    const { whole } = this.pictures;
    if (whole !== null) this.drawAt(whole, 0, 0, this.mask.width, this.mask.height);
    const scale = this.viewport.scale * this.pixelRatio;
    if (scale < 1 && (whole === null || scale * this.mask.width <= whole.width)) return 0;
    return this.forVisible(TILE, (column, row) => {
      const bitmap = this.pictures.get(column, row);
      if (bitmap !== undefined) this.drawAt(bitmap, column * TILE, row * TILE, bitmap.width, bitmap.height);
    });
  }

  drawMask(level) {
    this.forVisible(TILE, (column, row) => {
      const index = row * this.mask.columns + column;
      if (this.mask.tiles[index] === 0) return;
      const box = this.mask.tileBox(index);
      this.drawAt(this.overlayOf(index, level), box.left, box.top, box.width, box.height);
    });
  }

  forVisible(side, draw) {
    const box = this.viewport.visibleBox();
    let count = 0;
    for (let row = Math.floor(box.top / side); row * side < box.bottom; row++) {
      for (let column = Math.floor(box.left / side); column * side < box.right; column++) {
        draw(column, row);
        count += 1;
      }
    }
    return count;
  }

  drawAt(image, x, y, width, height) {
    const [left, top] = this.viewport.toScreen(x, y);
    const [right, bottom] = this.viewport.toScreen(x + width, y + height);
    // Whole device px, so that no seam shows between tiles.
    const snap = (value) => Math.round(value * this.pixelRatio) / this.pixelRatio;
    this.pen.drawImage(image, snap(left), snap(top), snap(right) - snap(left), snap(bottom) - snap(top));
  }

  overlayOf(index, level) {
    const version = this.mask.versions[index];
    const known = this.overlays.get(index);
    if (known !== undefined && known.version === version && known.level === level && known.kind === this.overlay) return known.canvas;
    const canvas = this.paintOverlay(index, level);
    this.overlays.delete(index);
    this.overlays.set(index, { canvas, version, level, kind: this.overlay });
    if (this.overlays.size > MAX_OVERLAYS) this.overlays.delete(this.overlays.keys().next().value);
    return canvas;
  }

  paintOverlay(index, level) {
    const { width, height } = this.mask.tileBox(index);
    const tile = this.mask.tiles[index];
    const step = 2 ** Math.min(level, 9);
    const canvas = new OffscreenCanvas(Math.max(1, Math.ceil(width / step)), Math.max(1, Math.ceil(height / step)));
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(canvas.width, canvas.height);
    const tint = this.overlay === "mask" ? [255, 255, 255] : TINT;
    const opacity = this.overlay === "mask" ? 1 : OPACITY;
    for (let y = 0, at = 0; y < canvas.height; y++) {
      for (let x = 0; x < canvas.width; x++, at += 4) {
        const value = typeof tile === "number" ? tile : meanOf(tile, width, height, x * step, y * step, step);
        image.data[at] = tint[0];
        image.data[at + 1] = tint[1];
        image.data[at + 2] = tint[2];
        image.data[at + 3] = value * opacity;
      }
    }
    pen.putImageData(image, 0, 0);
    return canvas;
  }

  drawOutline() {
    if (this.outline === null) return;
    const { pen, viewport } = this;
    pen.beginPath();
    this.outline.forEach(([x, y], number) => {
      const place = viewport.toScreen(x, y);
      if (number === 0) pen.moveTo(...place);
      else pen.lineTo(...place);
    });
    this.strokeTwice();
  }

  drawCursor() {
    if (this.cursor === null) return;
    const [x, y] = this.viewport.toScreen(this.cursor.x, this.cursor.y);
    const radius = Math.max(2, this.cursor.radius * this.viewport.scale);
    this.pen.beginPath();
    this.pen.arc(x, y, radius, 0, 2 * Math.PI);
    this.pen.moveTo(x - 4, y);
    this.pen.lineTo(x + 4, y);
    this.pen.moveTo(x, y - 4);
    this.pen.lineTo(x, y + 4);
    this.strokeTwice();
  }

  // Dark and light, so that the line shows on any ground.
  strokeTwice() {
    this.pen.lineWidth = 3;
    this.pen.strokeStyle = "rgb(0 0 0 / 0.7)";
    this.pen.stroke();
    this.pen.lineWidth = 1;
    this.pen.strokeStyle = "#fff";
    this.pen.stroke();
  }
}

// The mean of up to 4 x 4 pixels of the square that one px of the screen stands for.
function meanOf(tile, width, height, left, top, step) {
  const stride = Math.max(1, step >> 2);
  let sum = 0;
  let count = 0;
  for (let y = top; y < Math.min(height, top + step); y += stride) {
    for (let x = left; x < Math.min(width, left + step); x += stride) {
      sum += tile[y * width + x];
      count += 1;
    }
  }
  return sum / count;
}
