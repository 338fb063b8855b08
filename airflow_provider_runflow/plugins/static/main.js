// SPDX-License-Identifier: Apache-2.0
// The page: what it is about, asking for it while something moves, and putting it on the sheet.
import { latest, picturesOf } from "./api.js";
import { airflowLink, announce, byId, el, say } from "./dom.js";
import { apply, Filters } from "./filters.js";
import { Sheet } from "./sheet.js";
import { followTheme } from "./theme.js";
import { closeAll, openCompare, openViewer } from "./viewer.js";
import { duration, identityOf, itemName, moment, money, plural, runPath } from "./words.js";

const EVERY = 4000; // milliseconds between looks while something moves
const PATIENCE = 15; // looks that saw nothing new, a minute of them; from then on each pause is twice the one before
const SELDOM = 60000; // ... up to this: a person may take days to decide
const IDLE = 30000; // the page of all DAGs also looks for what begins
const TROUBLED = 15000; // after an answer that did not come
const scope = readScope();
const picked = new Map(); // identity -> card, at most two
const state = { cards: [], answer: null, shown: [], dag: null, asDrawn: null };

// One of {DAG_ID} and its like may come as it is, where Airflow had nothing to put there. Airflow 3.1 puts a run id there
// without encoding it, and so a + means itself, here as well as where it was encoded.
function readScope() {
  const given = new URLSearchParams(window.location.search.replaceAll("+", "%2B"));
  const known = {};
  for (const name of ["dag_id", "run_id", "task_id", "map_index"]) {
    const value = given.get(name);
    if (value && !/^\{[A-Z_]+\}$/.test(value)) known[name] = value;
  }
  if (known.task_id && !known.map_index) known.map_index = "-1";
  if (!known.task_id) delete known.map_index;
  return known;
}

const ofRun = Boolean(scope.dag_id && scope.run_id);
const sheet = new Sheet(byId("sheet"), picked, { open, pick });
const filters = new Filters(byId("filters"), (wanted) => {
  if (!ofRun && wanted.dag !== state.dag) {
    state.dag = wanted.dag;
    byId("sheet").setAttribute("aria-busy", "true");
    look();
  } else draw();
});

function load(signal) {
  if (!ofRun) return latest(state.dag ?? scope.dag_id, { signal });
  return picturesOf(scope, { signal, onFirst: (page) => { if (!state.answer) take(page); } });
}

// Tells whether anything is new. What is not is left as it is: focus, scrolling, and what is being read out.
function take(answer) {
  const isNew = state.answer !== answer;
  state.answer = answer;
  state.cards = answer.cards;
  if (isNew) repick();
  if (isNew || state.asDrawn !== state.dag) {
    filters.offer(answer.cards, answer.dag_ids);
    draw();
  }
  lasted(answer);
  return isNew;
}

let timer = null;
let looking = null; // the look under way
let lookedAt = 0;
let next = null; // milliseconds to the next look; null: none
let quietLooks = 0;
let failedLooks = 0;

// The newest question counts: an older look that is still under way is given up.
async function look() {
  clearTimeout(timer);
  looking?.abort();
  const mine = new AbortController();
  looking = mine;
  lookedAt = Date.now();
  try {
    const answer = await load(mine.signal);
    if (looking !== mine) return;
    failedLooks = 0;
    quietLooks = take(answer) ? 0 : quietLooks + 1;
    notices(answer.troubles ?? []);
    next = pause(answer);
  } catch (error) {
    if (looking !== mine) return;
    failedLooks += 1;
    failed(error);
    // What asking again does not change; all else may pass, such as a 429 of a proxy.
    next = [401, 403, 404, 422].includes(error.status) ? null : Math.min(TROUBLED * failedLooks, 120000);
  }
  looking = null;
  byId("sheet").setAttribute("aria-busy", "false");
  plan(next);
}

function pause(answer) {
  const soon = Math.min(SELDOM, EVERY * 2 ** Math.max(0, quietLooks - PATIENCE));
  if (ofRun) return answer.moving ? soon : null;
  return answer.moving ? Math.min(soon, IDLE) : IDLE;
}

// Nobody looks at a page in the background; it looks again when it is seen.
function plan(delay) {
  clearTimeout(timer);
  if (delay !== null && !document.hidden) timer = setTimeout(look, delay);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (next !== null && !looking) {
    quietLooks = 0;
    plan(Math.max(0, lookedAt + EVERY - Date.now()));
  }
});

function failed(error) {
  const words = {
    0: "The API server does not answer. This page tries again by itself.",
    401: "You are signed out of Airflow. Sign in again, then reload this page.",
    403: "You may not see the pictures of this DAG: that takes the right to read its runs, task instances and XComs.",
    404: error.message || "There is no such DAG run.",
  };
  const text = words[error.status] ?? `The pictures cannot be loaded (${error.status ?? error.name}). ${error.message}`;
  if (state.answer && ![401, 403, 404].includes(error.status)) {
    notices([text]);
    if (state.asDrawn !== state.dag) draw();
    return;
  }
  // Who may not look any more does not keep seeing.
  state.answer = null;
  state.cards = [];
  state.shown = [];
  if (picked.size) {
    picked.clear();
    compareBar();
  }
  byId("filters").hidden = true;
  say(byId("totals"), "");
  say(byId("lasted"), "");
  sheet.fill([]);
  closeAll();
  notices([]);
  announce(text);
  empty("Not shown", text, { name: "Try again", does: look });
}

function notices(texts) {
  const there = [...byId("notices").children].map((each) => each.textContent);
  if (there.length === texts.length && there.every((text, at) => text === texts[at])) return;
  byId("notices").replaceChildren(...texts.map((text) => el("p", {}, text)));
}

function draw() {
  const { answer } = state;
  if (!answer) return;
  state.asDrawn = filters.wanted.dag ?? null;
  state.shown = apply(state.cards, filters.wanted);
  titles(answer);
  sheet.fill(groups(answer));
  if (!state.cards.length) {
    empty("No pictures yet", ofRun
      ? answer.moving ? "As soon as a Runflow task of this DAG run starts, it shows here." : "No Runflow task of this DAG run made or asked for any."
      : "What the Runflow operators of your DAGs make shows here.");
  } else if (!state.shown.length) {
    empty("Nothing fits", searched(answer), { name: "Clear filters", does: () => filters.reset() });
  } else empty(null);
  if (filters.isOn) announce(plural(state.shown.length, "picture"));
}

// What was searched, for it may be less than there is.
function searched(answer) {
  if (ofRun) {
    const where = scope.task_id ? "this task instance" : "this DAG run";
    return answer.next ? `Nothing so far; the rest of ${where} is being loaded.` : `No picture of ${where} fits these filters.`;
  }
  const dags = [...new Set(answer.runs.map((run) => run.dag_id))];
  const names = dags.slice(0, 5).join(", ") + (dags.length > 5 ? ` and ${dags.length - 5} more` : "");
  const cut = answer.runs.filter((run) => run.total > run.cards.length);
  const text = `Searched: the latest ${plural(answer.runs.length, "DAG run")} with pictures (of ${names}).`;
  if (!cut.length) return text;
  return `${text} Of ${cut.length === 1 ? "one" : cut.length} of them only the first ${Math.max(...cut.map((run) => run.cards.length))} cards are here: open the DAG run to search all of it.`;
}

function empty(title, text, action) {
  const before = byId("nothing");
  const all = [title, text, action?.name].join("\u0000");
  if (before?.dataset.all === all) return;
  const hadFocus = before?.contains(document.activeElement);
  before?.remove();
  if (title) {
    const button = action ? el("button", { type: "button", onclick: () => action.does() }, action.name) : null;
    const box = el("div", { id: "nothing", class: "empty" }, el("h2", {}, title), el("p", {}, text), button);
    box.dataset.all = all;
    byId("sheet").before(box);
  }
  if (hadFocus) sheet.focusOn();
}

function titles(answer) {
  const parts = [];
  if (ofRun) {
    const landed = answer.counts.landed ?? 0;
    parts.push(plural(landed, "picture"));
    for (const status of ["waiting", "blocked", "failed", "not landed"]) {
      if (answer.counts[status]) parts.push(`${answer.counts[status].toLocaleString("en-US")} ${status}`);
    }
    if (answer.cost_usd !== null) parts.push(money(answer.cost_usd));
  } else {
    const sum = answer.runs.reduce((all, run) => all + (run.counts.landed ?? 0), 0);
    parts.push(`${plural(sum, "picture")} in the latest ${plural(answer.runs.length, "DAG run")}`);
    const costs = answer.runs.map((run) => run.cost_usd).filter((cost) => cost !== null);
    if (costs.length) parts.push(money(costs.reduce((all, cost) => all + Number(cost), 0)));
  }
  say(byId("totals"), parts.join(" · "));
  if (ofRun) {
    say(byId("where"), [scope.dag_id, scope.run_id, scope.task_id].filter(Boolean).join(" / "));
    byId("where").hidden = false;
  }
}

// Apart from the totals: it grows with each look, and nobody wants to hear that.
function lasted({ run }) {
  const began = ofRun && Date.parse(run.started_at ?? "");
  if (began) say(byId("lasted"), ` · ${duration((run.ended_at ? Date.parse(run.ended_at) : Date.now()) - began)}`);
}

function groups(answer) {
  const cards = state.shown;
  if (filters.wanted.sort && filters.wanted.sort !== "order") return [{ key: "all", cards }];
  if (!ofRun) {
    const runs = new Map(answer.runs.map((run) => [`${run.dag_id}\u0000${run.run_id}`, { run, cards: [] }]));
    for (const card of cards) runs.get(`${card.dag_id}\u0000${card.run_id}`)?.cards.push(card);
    return [...runs.entries()].filter(([, { cards: own }]) => own.length).map(([key, { run, cards: own }]) => ({
      key, cards: own, header: () => runHeader(run), signature: JSON.stringify([run.counts, run.cost_usd, run.state]),
    }));
  }
  const tasks = new Map();
  for (const card of cards) {
    if (!tasks.has(card.task_id)) tasks.set(card.task_id, []);
    tasks.get(card.task_id).push(card);
  }
  const alone = tasks.size < 2;
  return [...tasks.entries()].map(([task, own]) => ({
    key: task, cards: own, signature: String(own.length), header: alone ? null : () => [el("h2", {}, task), el("p", { class: "muted" }, plural(own.length, "card"))],
  }));
}

function runHeader(run) {
  const told = Object.entries(run.counts).map(([status, count]) => `${count} ${status}`);
  if (run.cost_usd !== null) told.push(money(run.cost_usd));
  told.push(moment(run.run_after));
  const more = run.total > run.cards.length ? `All ${run.total.toLocaleString("en-US")}` : "Open";
  return [
    el("h2", {}, run.dag_id),
    el("p", { class: "muted" }, told.join(" · ")),
    airflowLink(runPath(run, "/plugin/runflow-pictures-run"), el("span", {}, more), el("span", { class: "for-readers" }, ` pictures of ${run.dag_id}, ${run.run_id}`)),
  ];
}

function open(card) {
  const at = state.shown.findIndex((each) => identityOf(each) === identityOf(card));
  if (at < 0) return; // it is gone
  openViewer(state.shown, at, { onClose: (last) => sheet.focusOn(last) });
}

function pick(card) {
  const key = identityOf(card);
  if (picked.has(key)) picked.delete(key);
  else {
    // The third one takes the place of the first.
    if (picked.size === 2) picked.delete(picked.keys().next().value);
    picked.set(key, card);
  }
  sheet.repick();
  compareBar();
}

// A card that was chosen is the one of now: a retry may have made another picture of it, or none.
function repick() {
  if (!picked.size) return;
  const now = new Map(state.cards.map((card) => [identityOf(card), card]));
  const before = [...picked.values()];
  for (const [key, card] of [...picked]) {
    const successor = now.get(key);
    if (successor?.status !== "landed") picked.delete(key);
    else if (successor !== card) picked.set(key, successor);
  }
  const after = [...picked.values()];
  if (after.length !== before.length || after.some((card, at) => card.sha256 !== before[at].sha256)) compareBar();
}

function compareBar() {
  const bar = byId("compare-bar");
  bar.hidden = picked.size === 0;
  document.body.classList.toggle("has-compare-bar", picked.size > 0);
  const names = [...picked.values()].map(itemName);
  const button = el("button", {
    type: "button", class: "main", disabled: picked.size < 2, onclick: () => openCompare([...picked.values()], () => (bar.hidden ? sheet.focusOn() : bar.querySelector("button").focus())),
  }, "Compare");
  const clear = () => {
    picked.clear();
    sheet.repick();
    compareBar();
    sheet.focusOn();
  };
  const none = el("button", { type: "button", class: "quiet", onclick: clear }, "Clear");
  bar.replaceChildren(el("span", { class: "cut" }, names.length === 2 ? names.join("  ↔  ") : `${names[0] ?? ""}: choose one more`), button, none);
  announce(names.length === 2 ? `${names[0]} and ${names[1]} chosen to compare` : names.length ? `${names[0]} chosen` : "None chosen");
}

followTheme();
look();
