// The mask of one picture: 8-bit grey in tiles, with undo and redo. It knows nothing of the page.

export const TILE = 512;
const MAGIC = 0x47534d54; // "GSMT"
const HEADER_BYTES = 12;
const CONSTANT = 0;
const RAW = 1;
// Old tiles that undo and redo may keep, in bytes. The last step is always kept.
const MAX_HISTORY_BYTES = 192 * 2 ** 20;
// Sub-rows of a pixel in the outline of a lasso.
const SUB_ROWS = 4;

export class Mask {
  // A tile is a number, if all of its pixels have that value, or a Uint8Array of its own width and height.
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.columns = Math.ceil(width / TILE);
    this.rows = Math.ceil(height / TILE);
    this.tiles = new Array(this.columns * this.rows).fill(0);
    // Grows with every change of a tile: what draws or stores tiles compares it.
    this.versions = new Uint32Array(this.tiles.length);
    this.undone = [];
    this.done = [];
    this.step = null;
    this.historyBytes = 0;
  }

  tileBox(index) {
    const left = (index % this.columns) * TILE;
    const top = Math.floor(index / this.columns) * TILE;
    return { left, top, width: Math.min(TILE, this.width - left), height: Math.min(TILE, this.height - top) };
  }

  valueAt(x, y) {
    const index = Math.floor(y / TILE) * this.columns + Math.floor(x / TILE);
    const tile = this.tiles[index];
    if (typeof tile === "number") return tile;
    const box = this.tileBox(index);
    return tile[(y - box.top) * box.width + (x - box.left)];
  }

  isEmpty() {
    return this.tiles.every((tile) => (typeof tile === "number" ? tile === 0 : tile.every((value) => value === 0)));
  }

  // ---------------------------------------------------------------- steps, undo, redo

  begin() {
    this.step = new Map();
  }

  // End the step; a step that changed nothing leaves no trace. Returns whether there was a change.
  end() {
    const step = this.step;
    this.step = null;
    if (step === null || step.size === 0) return false;
    this.undone.forEach((old) => (this.historyBytes -= bytesOf(old)));
    this.undone = [];
    this.done.push(step);
    this.historyBytes += bytesOf(step);
    while (this.done.length > 1 && this.historyBytes > MAX_HISTORY_BYTES) this.historyBytes -= bytesOf(this.done.shift());
    return true;
  }

  // Give up the step that has begun: the mask is as it was before it.
  cancel() {
    const step = this.step;
    this.step = null;
    if (step !== null) this.swap(step);
  }

  undo() {
    return this.move(this.done, this.undone);
  }

  redo() {
    return this.move(this.undone, this.done);
  }

  move(from, to) {
    const step = from.pop();
    if (step === undefined) return false;
    this.historyBytes -= bytesOf(step);
    this.swap(step);
    to.push(step);
    this.historyBytes += bytesOf(step);
    return true;
  }

  swap(step) {
    for (const [index, tile] of step) {
      step.set(index, this.tiles[index]);
      this.replace(index, tile);
    }
  }

  replace(index, tile) {
    this.tiles[index] = tile;
    this.versions[index] += 1;
  }

  // Keep the tile as it was before this step, and return its pixels for writing.
  writable(index) {
    const tile = this.tiles[index];
    const box = this.tileBox(index);
    const isFirst = !this.step.has(index);
    if (isFirst) this.step.set(index, tile);
    if (typeof tile === "number") this.tiles[index] = new Uint8Array(box.width * box.height).fill(tile);
    else if (isFirst) this.tiles[index] = tile.slice();
    this.versions[index] += 1;
    return this.tiles[index];
  }

  // ---------------------------------------------------------------- painting

  // Paint one piece of a stroke: from (x0, y0) with radius r0 to (x1, y1) with r1, in px of the picture. `softness` 0 to 1 is the part of
  // the radius over which the edge fades. A pixel gets the larger (erased: the smaller) value, so that strokes may overlap.
  paintSegment(x0, y0, r0, x1, y1, r1, softness, isErased) {
    const reach = Math.max(r0, r1) + 1;
    const box = this.clip(Math.min(x0, x1) - reach, Math.min(y0, y1) - reach, Math.max(x0, x1) + reach, Math.max(y0, y1) + reach);
    const dx = x1 - x0;
    const dy = y1 - y0;
    const length2 = dx * dx + dy * dy;
    this.change(box, isErased, (x, y) => {
      const px = x + 0.5 - x0;
      const py = y + 0.5 - y0;
      const along = length2 === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / length2));
      const across = px - along * dx;
      const down = py - along * dy;
      return coverage(across * across + down * down, r0 + along * (r1 - r0), softness);
    });
  }

  // Fill the outline `points` ([x, y] in px of the picture), closed, with smooth edges.
  fillOutline(points, isErased) {
    if (points.length < 3) return;
    const xs = points.map((point) => point[0]);
    const ys = points.map((point) => point[1]);
    const box = this.clip(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
    if (box.left >= box.right) return;
    for (let y = box.top; y < box.bottom; y++) this.changeRow(y, box.left, outlineRow(points, y, box.left, box.right), isErased);
  }

  // Change the pixels in whole tiles: `areas` has a Uint8Array (value of each pixel) by the number of the tile.
  applyTiles(areas, isErased) {
    for (const [index, area] of areas) {
      const tile = this.writable(index);
      for (let at = 0; at < tile.length; at++) tile[at] = isErased ? Math.min(tile[at], 255 - area[at]) : Math.max(tile[at], area[at]);
    }
  }

  invert() {
    this.tiles.forEach((tile, index) => {
      this.step.set(index, tile);
      this.replace(index, typeof tile === "number" ? 255 - tile : tile.map((value) => 255 - value));
    });
  }

  clear() {
    this.tiles.forEach((tile, index) => {
      if (tile === 0) return;
      this.step.set(index, tile);
      this.replace(index, 0);
    });
  }

  clip(left, top, right, bottom) {
    return {
      left: Math.max(0, Math.floor(left)),
      top: Math.max(0, Math.floor(top)),
      right: Math.min(this.width, Math.ceil(right)),
      bottom: Math.min(this.height, Math.ceil(bottom)),
    };
  }

  // Set each pixel of the box by its coverage, 0 to 255.
  change(box, isErased, coverageAt) {
    for (let row = Math.floor(box.top / TILE); row * TILE < box.bottom; row++) {
      for (let column = Math.floor(box.left / TILE); column * TILE < box.right; column++) {
        this.changeTile(row * this.columns + column, box, isErased, coverageAt);
      }
    }
  }

  // Set the pixels of a row from `left` on by their values.
  changeRow(y, left, values, isErased) {
    const row = Math.floor(y / TILE);
    for (let start = 0; start < values.length; ) {
      const column = Math.floor((left + start) / TILE);
      const end = Math.min(values.length, (column + 1) * TILE - left);
      const index = row * this.columns + column;
      if (values.subarray(start, end).some((value) => value !== 0)) {
        const own = this.tileBox(index);
        const tile = this.writable(index);
        const offset = (y - own.top) * own.width + left - own.left;
        for (let x = start; x < end; x++) {
          tile[offset + x] = isErased ? Math.min(tile[offset + x], 255 - values[x]) : Math.max(tile[offset + x], values[x]);
        }
      }
      start = end;
    }
  }

  changeTile(index, box, isErased, coverageAt) {
    const own = this.tileBox(index);
    const right = Math.min(box.right, own.left + own.width);
    const bottom = Math.min(box.bottom, own.top + own.height);
    let tile = null;
    for (let y = Math.max(box.top, own.top); y < bottom; y++) {
      for (let x = Math.max(box.left, own.left); x < right; x++) {
        const value = coverageAt(x, y);
        if (value === 0) continue;
        tile ??= this.writable(index);
        const at = (y - own.top) * own.width + (x - own.left);
        tile[at] = isErased ? Math.min(tile[at], 255 - value) : Math.max(tile[at], value);
      }
    }
  }

  // ---------------------------------------------------------------- to and from bytes

  // The form in which a mask travels between page and browser: "GSMT", width, height (32 bits, big-endian), then each tile from the top
  // left: 0 and its value, or 1 and its pixels.
  toBytes() {
    const plain = this.tiles.map(simplified);
    const size = plain.reduce((sum, tile) => sum + (typeof tile === "number" ? 2 : 1 + tile.length), HEADER_BYTES);
    const bytes = new Uint8Array(size);
    const header = new DataView(bytes.buffer);
    header.setUint32(0, MAGIC);
    header.setUint32(4, this.width);
    header.setUint32(8, this.height);
    let at = HEADER_BYTES;
    for (const tile of plain) {
      if (typeof tile === "number") {
        bytes.set([CONSTANT, tile], at);
        at += 2;
      } else {
        bytes[at] = RAW;
        bytes.set(tile, at + 1);
        at += 1 + tile.length;
      }
    }
    return bytes;
  }

  // Return the tiles in such bytes. Throws an Error if they are not those of a mask of this size.
  tilesOf(buffer) {
    const bytes = new Uint8Array(buffer);
    const [width, height] = sizeOf(buffer);
    if (width !== this.width || height !== this.height) throw wrongMask();
    let at = HEADER_BYTES;
    const tiles = this.tiles.map((_, index) => {
      const { width, height } = this.tileBox(index);
      const isRaw = bytes[at] === RAW;
      const tile = isRaw ? bytes.slice(at + 1, at + 1 + width * height) : bytes[at + 1];
      at += isRaw ? 1 + width * height : 2;
      return tile;
    });
    if (at !== bytes.length) throw wrongMask();
    return tiles;
  }

  // Take over tiles as the mask that undo goes back to.
  open(tiles) {
    tiles.forEach((tile, index) => this.replace(index, tile));
  }
}

function wrongMask() {
  return new Error(document.getElementById("paint-sentences").dataset.wrongMask);
}

// Return [width, height] of the mask in such bytes. Throws an Error if they are none of a mask.
export function sizeOf(buffer) {
  const header = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || header.getUint32(0) !== MAGIC) throw wrongMask();
  return [header.getUint32(4), header.getUint32(8)];
}

// Return the value, 0 to 255, at the square of a distance from the middle of a stroke.
function coverage(distance2, radius, softness) {
  // A hard edge is smoothed over one pixel.
  const fade = Math.max(1, radius * softness);
  const outer = radius + 0.5;
  const inner = outer - fade;
  if (distance2 >= outer * outer) return 0;
  if (inner >= 0 && distance2 <= inner * inner) return 255;
  const share = Math.min(1, (outer - Math.sqrt(distance2)) / fade);
  return Math.round(255 * share * share * (3 - 2 * share));
}

// Return the values of the pixels `left` to `right` of row y inside an outline (those that it winds round), by the area that it covers.
function outlineRow(points, y, left, right) {
  const width = right - left;
  // How much more is covered than in the pixel before.
  const steps = new Float32Array(width + 2);
  const addEdge = (x, sign) => {
    const place = Math.min(width, Math.max(0, x - left));
    const pixel = Math.floor(place);
    steps[pixel] += sign * (1 - place + pixel);
    steps[pixel + 1] += sign * (place - pixel);
  };
  for (let sub = 0; sub < SUB_ROWS; sub++) {
    const line = y + (sub + 0.5) / SUB_ROWS;
    const crossings = [];
    for (let number = 0; number < points.length; number++) {
      const [x0, y0] = points[number];
      const [x1, y1] = points[(number + 1) % points.length];
      if (y0 <= line !== y1 <= line) crossings.push([x0 + ((line - y0) * (x1 - x0)) / (y1 - y0), y1 > y0 ? 1 : -1]);
    }
    crossings.sort((one, other) => one[0] - other[0]);
    let winding = 0;
    for (const [x, turn] of crossings) {
      if (winding === 0) addEdge(x, 1);
      winding += turn;
      if (winding === 0) addEdge(x, -1);
    }
  }
  const values = new Uint8Array(width);
  let sum = 0;
  for (let x = 0; x < width; x++) {
    sum += steps[x];
    values[x] = Math.min(255, Math.max(0, Math.round((sum * 255) / SUB_ROWS)));
  }
  return values;
}

function simplified(tile) {
  return typeof tile === "number" || tile.some((value) => value !== tile[0]) ? tile : tile[0];
}

function bytesOf(step) {
  let sum = 0;
  for (const tile of step.values()) sum += typeof tile === "number" ? 64 : tile.length;
  return sum;
}
