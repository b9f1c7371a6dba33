// The mask on the server: opened, saved and proposed as tiles.

import { csrfToken, reach, refusalOf, send } from "../base.js";

export class SavedMask {
  constructor(url, proposalUrl) {
    this.url = url;
    this.proposalUrl = proposalUrl;
    // Which mask was there when it was opened; "" if there was none.
    this.stamp = "";
  }

  // Return the mask that is there as bytes; all black if there is none.
  async open() {
    const answer = await reach(this.url, { headers: { accept: "application/json" } });
    const bytes = await bytesOf(answer);
    this.stamp = answer.headers.get("x-mask-stamp") ?? "";
    return bytes;
  }

  // Save the mask, unless another one than `stamp` has been put there meanwhile ("*": whatever is there). Returns the sentence about it.
  async save(bytes, stamp) {
    const join = this.url.includes("?") ? "&" : "?";
    const answer = await send(`${this.url}${join}replaces=${encodeURIComponent(stamp)}`, { method: "PUT", body: new Blob([bytes]) });
    this.stamp = answer.stamp;
    return answer.sentence;
  }

  // Return a region of the picture as bytes; of the region "object" the one at the pixel `place`.
  async propose(region, place = null) {
    const headers = { accept: "application/json", "x-csrf-token": csrfToken() };
    const point = place === null ? "" : `&x=${place[0]}&y=${place[1]}`;
    return bytesOf(await reach(`${this.proposalUrl}?region=${region}${point}`, { method: "POST", headers }));
  }
}

async function bytesOf(answer) {
  if (answer.ok) return answer.arrayBuffer();
  throw await refusalOf(answer);
}
