// The tiles of the picture, fetched when they are needed; the ones used last are kept.

import { TILE } from "./mask.js";

const MAX_BITMAPS = 160;

export class PictureTiles {
  // `urlOf(level, column, row)` is the address of a tile; `onArrival` is called when one has come.
  constructor(urlOf, onArrival, onFailure) {
    this.urlOf = urlOf;
    this.onArrival = onArrival;
    this.onFailure = onFailure;
    this.bitmaps = new Map();
    this.pending = new Map();
  }

  // Return the bitmap of a tile; if it is not here yet, ask for it and return undefined.
  get(level, column, row) {
    const key = `${level}/${column}/${row}`;
    const bitmap = this.bitmaps.get(key);
    if (bitmap === undefined) {
      this.fetch(level, column, row).catch(this.onFailure);
      return undefined;
    }
    this.bitmaps.delete(key);
    this.bitmaps.set(key, bitmap);
    return bitmap;
  }

  fetch(level, column, row) {
    const key = `${level}/${column}/${row}`;
    if (this.bitmaps.has(key)) return Promise.resolve(this.bitmaps.get(key));
    if (!this.pending.has(key)) this.pending.set(key, this.load(key, this.urlOf(level, column, row)));
    return this.pending.get(key);
  }

  async load(key, url) {
    const response = await fetch(url);
    if (!response.ok) throw new Error((await response.json().catch(() => null))?.error ?? `The page answers ${response.status}.`);
    const bitmap = await createImageBitmap(await response.blob());
    this.bitmaps.set(key, bitmap);
    this.pending.delete(key);
    while (this.bitmaps.size > MAX_BITMAPS) {
      const [oldest, unused] = this.bitmaps.entries().next().value;
      this.bitmaps.delete(oldest);
      unused.close();
    }
    this.onArrival();
    return bitmap;
  }

  // Return the pixels (r, g, b, a) of a tile at full size.
  async pixels(column, row) {
    const bitmap = await this.fetch(0, column, row);
    const canvas = new OffscreenCanvas(TILE, TILE);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(bitmap, 0, 0);
    return pen.getImageData(0, 0, bitmap.width, bitmap.height).data;
  }
}
