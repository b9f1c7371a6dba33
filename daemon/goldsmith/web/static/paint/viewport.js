// Where the picture lies on the screen: `scale` is CSS px for each px of the picture, (x, y) the place of its top left corner in CSS px.

const MAX_SCALE = 32;
const MARGIN = 16;

export class Viewport {
  constructor(width, height) {
    this.pictureWidth = width;
    this.pictureHeight = height;
    this.width = 1;
    this.height = 1;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.isFitted = true;
  }

  resize(width, height) {
    const [x, y] = this.toPicture(this.width / 2, this.height / 2);
    this.width = width;
    this.height = height;
    if (this.isFitted) this.fit();
    else this.center(x, y);
  }

  fit() {
    const across = (this.width - 2 * MARGIN) / this.pictureWidth;
    const down = (this.height - 2 * MARGIN) / this.pictureHeight;
    this.scale = Math.max(this.minScale(), Math.min(MAX_SCALE, across, down));
    this.center(this.pictureWidth / 2, this.pictureHeight / 2);
    this.isFitted = true;
  }

  minScale() {
    return Math.min(1, 64 / Math.max(this.pictureWidth, this.pictureHeight));
  }

  // Put a point of the picture into the middle of the screen.
  center(x, y) {
    this.x = this.width / 2 - x * this.scale;
    this.y = this.height / 2 - y * this.scale;
  }

  toPicture(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  toScreen(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  // Set the scale; the point of the picture at (x, y) of the screen stays there.
  zoomTo(scale, x = this.width / 2, y = this.height / 2) {
    const next = Math.max(this.minScale(), Math.min(MAX_SCALE, scale));
    this.x = x - ((x - this.x) * next) / this.scale;
    this.y = y - ((y - this.y) * next) / this.scale;
    this.scale = next;
    this.isFitted = false;
  }

  // Move by CSS px. Some of the picture stays on the screen.
  pan(dx, dy) {
    const keep = 48;
    this.x = Math.min(this.width - keep, Math.max(keep - this.pictureWidth * this.scale, this.x + dx));
    this.y = Math.min(this.height - keep, Math.max(keep - this.pictureHeight * this.scale, this.y + dy));
    this.isFitted = false;
  }

  // Move so that a point of the picture is on the screen.
  reveal(x, y) {
    const [left, top] = this.toScreen(x, y);
    const edge = 24;
    const dx = left < edge ? edge - left : left > this.width - edge ? this.width - edge - left : 0;
    const dy = top < edge ? edge - top : top > this.height - edge ? this.height - edge - top : 0;
    if (dx !== 0 || dy !== 0) this.pan(dx, dy);
  }

  // The level of detail: at level n, one px of a tile stands for 2^n px of the picture. Never coarser than the screen.
  level(pixelRatio) {
    return Math.max(0, Math.floor(Math.log2(1 / (this.scale * pixelRatio))));
  }

  // The part of the picture that is on the screen, in its px.
  visibleBox() {
    const [left, top] = this.toPicture(0, 0);
    const [right, bottom] = this.toPicture(this.width, this.height);
    return {
      left: Math.max(0, left),
      top: Math.max(0, top),
      right: Math.min(this.pictureWidth, right),
      bottom: Math.min(this.pictureHeight, bottom),
    };
  }
}
