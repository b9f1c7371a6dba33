// What every page needs: requests with the token of the session, messages, and signing out.

/** Return the token that a request which changes something must carry. */
export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]')?.content ?? "";
}

/** An answer of the page that is no success: a sentence and what to do. */
export class Refused extends Error {
  constructor(status, sentence, remedy) {
    super([sentence, remedy].filter(Boolean).join(" "));
    this.status = status;
    this.sentence = sentence;
    this.remedy = remedy;
  }
}

/** Return the error for an answer that is no success. */
export async function refusalOf(answer) {
  return refusal(answer, await answer.json().catch(() => null));
}

function refusal(answer, content) {
  const bare = document.body.dataset.answers.replace("STATUS", String(answer.status));
  return new Refused(answer.status, content?.error ?? bare, content?.remedy ?? "");
}

/** Fetch, with a sentence of the page in place of the words of the browser if nothing answers. Throws Refused. */
export async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch {
    throw new Refused(0, document.body.dataset.noAnswer, document.body.dataset.noAnswerRemedy);
  }
}

/**
 * Send a request with the token of the session and return the answer: its JSON, or null if it has none.
 * `json` is sent as JSON, `body` as it is. Throws Refused with the page's sentence.
 */
export async function send(url, { body, json, method = "POST" } = {}) {
  const headers = { accept: "application/json", "x-csrf-token": csrfToken() };
  if (json !== undefined) {
    headers["content-type"] = "application/json";
    body = JSON.stringify(json);
  }
  const answer = await reach(url, { method, headers, body });
  const isJson = (answer.headers.get("content-type") ?? "").startsWith("application/json");
  const content = isJson ? await answer.json() : null;
  if (!answer.ok) throw refusal(answer, content);
  return content;
}

let hiding;

/** Show a sentence at the foot of the page; screen readers read it aloud. A problem stays until it is dismissed. */
export function say(sentence, { isProblem = false } = {}) {
  const place = document.getElementById("message");
  clearTimeout(hiding);
  place.className = isProblem ? "shown problem" : "shown";
  place.textContent = sentence;
  if (!isProblem) hiding = setTimeout(() => { place.className = ""; }, 6000);
}

/** Run an action and show its error, if it has one. Return whether it went well. */
export async function attempt(action) {
  try {
    await action();
    return true;
  } catch (error) {
    say(error.message, { isProblem: true });
    return false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-sign-out]");
  if (button) attempt(async () => { await send(button.dataset.signOut); location.assign("/sign-in"); });
  if (event.target.closest("#message")) event.target.closest("#message").className = "";
  for (const menu of document.querySelectorAll("details.person[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

/** Put words in the place of a preview that the page could not make, such as that of a damaged file. */
function replaceBroken(image) {
  if (!image.matches(".thumb img, .cell img, .strip img, .tiny, .layer .whole")) return;
  const words = document.createElement("span");
  words.className = "no-preview";
  words.textContent = document.body.dataset.noPreview;
  image.replaceWith(words);
}

document.addEventListener("error", (event) => event.target instanceof HTMLImageElement && replaceBroken(event.target), true);
for (const image of document.images) if (image.complete && image.currentSrc && image.naturalWidth === 0) replaceBroken(image);
