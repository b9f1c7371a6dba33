// The form that becomes a brief: it is checked while it is filled in, and written as a whole.

import { attempt, reach, refusalOf, send } from "../base.js";

const CHECK_DELAY_MS = 250;

const $ = (id) => document.getElementById(id);
const form = $("ask-form");
const steps = $("ask-steps");
let stamp = form.dataset.stamp;
let timer = 0;
let latest = 0;

// ------------------------------------------------------------------ the form as data

function textsIn(element) {
  const texts = {};
  for (const control of element.querySelectorAll("[name]")) {
    const isOff = control.type === "checkbox" && !control.checked;
    if (!isOff && control.value.trim() !== "") texts[control.name] = control.value;
  }
  return texts;
}

function filledForm() {
  return {
    head: textsIn(form.querySelector(".ask-head")),
    steps: [...steps.children].map((step) => ({ stage: step.dataset.stage, op: step.dataset.op, texts: textsIn(step) })),
  };
}

// ------------------------------------------------------------------ checking

function checkSoon() {
  clearTimeout(timer);
  $("ask-write").disabled = true;
  timer = setTimeout(() => attempt(check), CHECK_DELAY_MS);
}

async function check() {
  const number = ++latest;
  const answer = await send(`/ask-check/${form.dataset.address}`, { json: filledForm() });
  if (number !== latest) return;
  show(answer);
}

function show(answer) {
  $("ask-toml").textContent = answer.toml;
  $("ask-plan").replaceChildren(...answer.plan.map((line) => element("li", line)));
  for (const old of form.querySelectorAll(".ask-problem")) old.remove();
  for (const control of form.querySelectorAll("[aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-describedby");
  }
  answer.problems.forEach((problem, number) => mark(problem, `ask-problem-${number}`));
  const lines = [...answer.problems.map((problem) => problem.sentence), ...answer.others];
  const list = element("ul", "");
  list.append(...lines.map((line) => element("li", line)));
  $("ask-problems").replaceChildren(...(lines.length > 0 ? [element("h2", $("ask-sentences").dataset.problems), list] : []));
  $("ask-write").disabled = !answer.valid;
  form.dataset.checked = String(latest);
}

// Put a problem beside its field; a problem of a whole step to the top of the step.
function mark(problem, id) {
  const place = placeOf(problem.location);
  if (place === null) return;
  const text = element("p", problem.sentence);
  text.id = id;
  text.className = problem.later ? "ask-problem later" : "ask-problem problem";
  const control = place.querySelector("[name]");
  const isField = place.matches(".ask-field");
  (isField ? place : place.querySelector(".hint") ?? place).insertAdjacentElement(isField ? "beforeend" : "afterend", text);
  if (isField) {
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", id);
  }
  for (let outer = place.parentElement; outer !== form; outer = outer.parentElement) {
    if (outer.matches("details")) outer.open = true;
  }
}

// "edit.2.layers.1.from" is the field layers.0.from of the second step of the stage edit: briefs count from 1, rows of the form from 0.
function placeOf(location) {
  const [first, number, ...names] = location.split(".");
  const step = [...steps.children].filter((each) => each.dataset.stage === first)[Number(number) - 1];
  if (step === undefined) return form.querySelector(`.ask-head [data-field="${CSS.escape(first)}"]`);
  const path = names.map((name) => (/^\d+$/.test(name) ? String(Number(name) - 1) : name));
  for (let length = path.length; length > 0; length--) {
    const field = step.querySelector(`[data-field="${CSS.escape(path.slice(0, length).join("."))}"]`);
    if (field !== null) return field;
  }
  return step;
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

// ------------------------------------------------------------------ steps and rows

async function addStep() {
  const [stage, op] = $("ask-choice").value.split(" ");
  const answer = await reach(`/ask-step?${new URLSearchParams({ stage, op })}`, { headers: { accept: "application/json" } });
  if (!answer.ok) throw await refusalOf(answer);
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  const step = document.importNode(parsed.querySelector(".ask-step"), true);
  steps.append(step);
  step.querySelector("[name]")?.focus();
  checkSoon();
}

function addRow(rows) {
  const numbers = [...rows.querySelectorAll("[name]")].map((control) => Number(control.name.slice(rows.dataset.field.length + 1).split(".")[0]));
  const number = numbers.length === 0 ? 0 : Math.max(...numbers) + 1;
  const row = rows.querySelector("template").content.cloneNode(true);
  const rename = (part) => part.replace(".NUMBER.", `.${number}.`);
  for (const control of row.querySelectorAll("[name]")) control.name = rename(control.name);
  for (const field of row.querySelectorAll("[data-field]")) field.dataset.field = rename(field.dataset.field);
  rows.querySelector("template").before(row);
  rows.querySelector("template").previousElementSibling.querySelector("[name]").focus();
  checkSoon();
}

function moveStep(step, direction) {
  const other = direction < 0 ? step.previousElementSibling : step.nextElementSibling;
  if (other === null) return;
  if (direction < 0) other.before(step);
  else other.after(step);
  step.querySelector(`[data-move="${direction}"]`).focus();
}

form.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button === null) return;
  const step = button.closest(".ask-step");
  if (button.id === "ask-add") attempt(addStep);
  else if ("addRow" in button.dataset) addRow(button.closest(".ask-rows"));
  else if ("removeRow" in button.dataset) button.closest(".ask-row").remove();
  else if ("removeStep" in button.dataset) step.remove();
  else if ("move" in button.dataset) moveStep(step, Number(button.dataset.move));
  checkSoon();
});
form.addEventListener("input", checkSoon);
form.addEventListener("submit", (event) => event.preventDefault());

// ------------------------------------------------------------------ writing

async function write() {
  const answer = await send(`/ask/${form.dataset.address}?replaces=${encodeURIComponent(stamp)}`, { method: "PUT", json: filledForm() });
  stamp = answer.stamp;
  $("ask-written").textContent = answer.sentence;
}

$("ask-write").addEventListener("click", () => attempt(write));
attempt(check);
