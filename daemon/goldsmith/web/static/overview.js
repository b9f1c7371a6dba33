// Keeps the overview fresh while somebody looks: progress in place, and the list again when it has changed.
import { attempt, send } from "/static/base.js";

const RETRY_MS = 10_000;

const board = () => document.getElementById("board");

/** Fetch the page as it is now and put its list into the place of the old one, without losing the place of the focus. */
async function refresh() {
  // A server that has just gone away is tried again by the stream of events.
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("board");
  const old = board();
  if (!fresh || fresh.dataset.version === old.dataset.version) return;
  if (old.contains(document.activeElement) && document.activeElement.closest("form")) return;
  const focused = document.activeElement?.getAttribute("href");
  old.replaceWith(document.adoptNode(fresh));
  if (focused) document.querySelector(`#board a[href="${CSS.escape(focused)}"]:not([tabindex="-1"])`)?.focus();
}

function showProgress(jobs) {
  for (const job of jobs) {
    const row = document.querySelector(`[data-path="${CSS.escape(job.path)}"]`);
    if (!row) continue;
    row.querySelector(".sentence").textContent = job.sentence;
    const bar = row.querySelector("progress");
    bar.hidden = false;
    bar.value = job.progress;
  }
}

let events = null;

// Browsers keep six connections to a server. Only a tab that is seen holds one, so that many open tabs do not stop all others.
function listen() {
  if (document.hidden || events !== null) return;
  events = new EventSource("/events");
  events.addEventListener("progress", (event) => showProgress(JSON.parse(event.data)));
  // The first event says what the board is now, so that a tab which comes back shows what it has missed.
  events.addEventListener("board", (event) => {
    if (JSON.parse(event.data).version !== board().dataset.version) refresh();
  });
  // The browser itself connects again to a server that was away. Only a refusal closes the stream for good.
  events.addEventListener("error", () => {
    if (events?.readyState === EventSource.CLOSED) onRefused();
  });
}

/** Say why the stream was refused: the session has ended. If it has not, too many others listen, so try again later. */
async function onRefused() {
  stopListening();
  if (await attempt(() => send("/", { method: "GET" }))) setTimeout(listen, RETRY_MS);
}

function stopListening() {
  events?.close();
  events = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? stopListening() : listen()));
addEventListener("pagehide", stopListening);
addEventListener("pageshow", listen);
listen();
document.addEventListener("change", (event) => {
  if (event.target.matches(".filter select")) event.target.form.requestSubmit();
});
