// Unsaved masks, kept in the browser (IndexedDB) until they are saved: a reload, a crash or an empty battery costs nothing.

const DATABASE = "goldsmith-masks";

export class Drafts {
  // `key` names the mask: the picture's path and the name of the mask.
  constructor(key) {
    this.key = key;
    this.database = null;
    this.stored = null;
    this.last = Promise.resolve();
  }

  async connect() {
    this.database = await new Promise((resolve, reject) => {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("drafts", { keyPath: "key" });
        request.result.createObjectStore("tiles", { keyPath: ["key", "index"] });
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }

  // Return the draft ({ width, height, base }) with all of its tiles, or null.
  async load() {
    const transaction = this.database.transaction(["drafts", "tiles"]);
    const draft = await result(transaction.objectStore("drafts").get(this.key));
    if (draft === undefined) return null;
    const rows = await result(transaction.objectStore("tiles").getAll(this.range()));
    const tiles = new Map(rows.map((row) => [row.index, row.tile]));
    return { ...draft, tiles };
  }

  // Store the tiles that have changed since the last call. `base` says which saved mask the painting began with.
  keep(mask, base) {
    return this.after(() => this.write(mask, base));
  }

  async write(mask, base) {
    const transaction = this.database.transaction(["drafts", "tiles"], "readwrite");
    transaction.objectStore("drafts").put({ key: this.key, width: mask.width, height: mask.height, base });
    const versions = mask.versions.slice();
    mask.tiles.forEach((tile, index) => {
      if (this.stored !== null && this.stored[index] === versions[index]) return;
      transaction.objectStore("tiles").put({ key: this.key, index, tile });
    });
    await completed(transaction);
    this.stored = versions;
  }

  forget() {
    return this.after(async () => {
      const transaction = this.database.transaction(["drafts", "tiles"], "readwrite");
      transaction.objectStore("drafts").delete(this.key);
      transaction.objectStore("tiles").delete(this.range());
      await completed(transaction);
      this.stored = null;
    });
  }

  // Do something after what was begun before, whether that went well or not.
  after(act) {
    this.last = this.last.catch(() => {}).then(act);
    return this.last;
  }

  range() {
    return IDBKeyRange.bound([this.key, 0], [this.key, Infinity]);
  }
}

function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function completed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}
