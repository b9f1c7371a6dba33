// Flood by colour: the pixels that are joined to a point and have nearly its colour, tile by tile.

import { TILE } from "./mask.js";

// Return a Uint8Array (255 = in the area) by the number of the tile. `pixelsOf(column, row)` returns the colours of a tile. `tolerance` is the
// largest difference of a channel, 0 to 255. `isStopped` ends it early: then the area is incomplete.
export async function floodArea(mask, pixelsOf, x, y, tolerance, isStopped) {
  const areas = new Map();
  const first = Math.floor(y / TILE) * mask.columns + Math.floor(x / TILE);
  const seeds = new Map([[first, [[x, y]]]]);
  let colour = null;
  while (seeds.size > 0 && !isStopped()) {
    const [index, points] = seeds.entries().next().value;
    seeds.delete(index);
    const box = mask.tileBox(index);
    const pixels = await pixelsOf(index % mask.columns, Math.floor(index / mask.columns));
    if (colour === null) colour = colourAt(pixels, (y - box.top) * box.width + (x - box.left));
    if (!areas.has(index)) areas.set(index, new Uint8Array(box.width * box.height));
    fillTile(box, pixels, areas.get(index), points, colour, tolerance, (nextX, nextY) => {
      if (nextX < 0 || nextY < 0 || nextX >= mask.width || nextY >= mask.height) return;
      const next = Math.floor(nextY / TILE) * mask.columns + Math.floor(nextX / TILE);
      if (!seeds.has(next)) seeds.set(next, []);
      seeds.get(next).push([nextX, nextY]);
    });
  }
  return areas;
}

function fillTile(box, pixels, area, points, colour, tolerance, onOutside) {
  const stack = [];
  for (const [x, y] of points) stack.push((y - box.top) * box.width + (x - box.left));
  while (stack.length > 0) {
    const at = stack.pop();
    if (area[at] !== 0 || !isNear(pixels, at, colour, tolerance)) continue;
    area[at] = 255;
    const x = at % box.width;
    const y = (at - x) / box.width;
    if (x > 0) stack.push(at - 1);
    else onOutside(box.left - 1, box.top + y);
    if (x < box.width - 1) stack.push(at + 1);
    else onOutside(box.left + box.width, box.top + y);
    if (y > 0) stack.push(at - box.width);
    else onOutside(box.left + x, box.top - 1);
    if (y < box.height - 1) stack.push(at + box.width);
    else onOutside(box.left + x, box.top + box.height);
  }
}

function colourAt(pixels, at) {
  return [pixels[4 * at], pixels[4 * at + 1], pixels[4 * at + 2]];
}

function isNear(pixels, at, colour, tolerance) {
  return (
    Math.abs(pixels[4 * at] - colour[0]) <= tolerance &&
    Math.abs(pixels[4 * at + 1] - colour[1]) <= tolerance &&
    Math.abs(pixels[4 * at + 2] - colour[2]) <= tolerance
  );
}
