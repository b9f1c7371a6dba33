// Pictures that are dropped on the page go into a folder, one after the other, each with its progress.

import { csrfToken } from "../base.js";

const $ = (id) => document.getElementById(id);
const list = $("drop-list");
const SIDECAR = /^(.+?)(?:\.(?:mask|keep|layer|ref|control)[._-]?.*|[_-]mask[_-]?\d*_?)\.\w+$/i;
const TEXT = /\.(toml|txt|cube|cdl|xmp)$/i;
let last = Promise.resolve();

// Files of one picture go together: masks and layers before the picture, its brief last. So it never starts without what belongs to it.
function inOrder(files) {
  return files
    .map((file) => {
      const { name } = file.file;
      const isCampaign = name.toLowerCase() === "brief.toml";
      const isSidecar = SIDECAR.test(name);
      const rank = isCampaign ? 0 : isSidecar ? 1 : TEXT.test(name) ? 3 : 2;
      const stem = isSidecar ? name.match(SIDECAR)[1] : name.replace(/\.\w+$/, "");
      return { file, key: [file.folder, isCampaign ? "" : stem, String(rank), name] };
    })
    .sort((one, other) => compare(one.key, other.key))
    .map((entry) => entry.file);
}

function compare(one, other) {
  const at = one.findIndex((part, number) => part !== other[number]);
  return at < 0 ? 0 : one[at] < other[at] ? -1 : 1;
}

function addAll(files) {
  const campaign = $("drop-campaign").value.trim().replace(/^\/+|\/+$/g, "");
  for (const { file, folder } of inOrder(files)) {
    const path = [$("drop-folder").value, campaign, folder, file.name].filter(Boolean).join("/");
    const row = document.createElement("li");
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", file.name);
    const text = document.createElement("span");
    text.textContent = `${path}: ${list.dataset.waiting}`;
    row.append(bar, text);
    list.append(row);
    last = last.then(() => upload(file, path, row, bar, text));
  }
}

function upload(file, path, row, bar, text) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `/upload/${path.split("/").map(encodeURIComponent).join("/")}`);
    request.setRequestHeader("accept", "application/json");
    request.setRequestHeader("x-csrf-token", csrfToken());
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      bar.value = event.lengthComputable ? event.loaded / event.total : 0;
    };
    request.onloadend = () => {
      const answer = request.response;
      const isDone = request.status === 201;
      bar.value = isDone ? 1 : 0;
      row.className = isDone ? "done" : "problem";
      text.textContent = isDone ? answer.sentence : [answer?.error ?? list.dataset.failed, answer?.remedy].filter(Boolean).join(" ");
      resolve();
    };
    request.send(file);
  });
}

// Return every file of a dropped folder, with the folder's path.
async function filesIn(entry, folder) {
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), folder }];
  const reader = entry.createReader();
  const files = [];
  const inner = [folder, entry.name].filter(Boolean).join("/");
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return files;
    for (const each of entries) files.push(...(await filesIn(each, inner)));
  }
}

$("drop-files").addEventListener("change", (event) => {
  addAll([...event.target.files].map((file) => ({ file, folder: "" })));
  event.target.value = "";
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop-zone").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) $("drop-zone").classList.remove("over");
});
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  $("drop-zone").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...event.dataTransfer.files].map((file) => ({ file, folder: "" }));
  addAll(entries.some((entry) => entry.isDirectory) ? (await Promise.all(entries.map((entry) => filesIn(entry, "")))).flat() : files);
});
$("drop-form").addEventListener("submit", (event) => event.preventDefault());
