// The picture: as a whole, reduced; and in tiles at 100 %, fetched when they are needed. The tiles used last are kept.

import { reach, refusalOf } from "../base.js";
import { TILE } from "./mask.js";

const MAX_BITMAPS = 96;

export class PictureTiles {
  // `wholeUrl` is the address of the reduced picture, `tilesUrl` that of a tile in COLUMN and ROW. `onArrival` is called when pixels have
  // come, `onFailure` with an error.
  constructor(wholeUrl, tilesUrl, onArrival, onFailure) {
    this.wholeUrl = wholeUrl;
    this.tilesUrl = tilesUrl;
    this.onArrival = onArrival;
    this.onFailure = onFailure;
    this.whole = null;
    this.bitmaps = new Map();
    this.pending = new Map();
  }

  async loadWhole() {
    this.whole = await loadBitmap(this.wholeUrl);
    this.onArrival();
  }

  // Return the bitmap of a tile; if it is not here yet, ask for it and return undefined.
  get(column, row) {
    const key = `${column}/${row}`;
    const bitmap = this.bitmaps.get(key);
    if (bitmap === undefined) {
      this.fetch(column, row).catch(this.onFailure);
      return undefined;
    }
    this.bitmaps.delete(key);
    this.bitmaps.set(key, bitmap);
    return bitmap;
  }

  fetch(column, row) {
    const key = `${column}/${row}`;
    if (this.bitmaps.has(key)) return Promise.resolve(this.bitmaps.get(key));
    if (!this.pending.has(key)) this.pending.set(key, this.load(key, column, row));
    return this.pending.get(key);
  }

  async load(key, column, row) {
    const bitmap = await loadBitmap(this.tilesUrl.replace("COLUMN", column).replace("ROW", row));
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

  // Return the pixels (r, g, b, a) of a tile at 100 %.
  async pixels(column, row) {
    const bitmap = await this.fetch(column, row);
    const canvas = new OffscreenCanvas(TILE, TILE);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(bitmap, 0, 0);
    return pen.getImageData(0, 0, bitmap.width, bitmap.height).data;
  }
}

async function loadBitmap(url) {
  const answer = await reach(url, { headers: { accept: "application/json, image/*" } });
  if (!answer.ok) throw await refusalOf(answer);
  return createImageBitmap(await answer.blob());
}
