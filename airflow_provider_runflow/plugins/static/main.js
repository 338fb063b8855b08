// SPDX-License-Identifier: Apache-2.0
// The page: what it is about, asking for it while something moves, and putting it on the sheet.
import { latest, picturesOf } from "./api.js";
import { airflowLink, announce, byId, el } from "./dom.js";
import { apply, Filters } from "./filters.js";
import { Sheet } from "./sheet.js";
import { followTheme } from "./theme.js";
import { openCompare, openViewer } from "./viewer.js";
import { duration, identityOf, itemName, moment, money, plural, runPath } from "./words.js";

const EVERY = 4000; // milliseconds between looks while something moves
const TROUBLED = 15000; // after an answer that did not come
const scope = readScope();
const picked = new Map(); // identity -> card, at most two
const state = { cards: [], runs: null, answer: null, shown: [] };

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
    look();
  } else draw();
});

async function load() {
  if (ofRun) {
    const answer = await picturesOf(scope, (page) => { if (!state.answer) take(page); });
    take(answer);
  } else {
    const answer = await latest(state.dag ?? scope.dag_id);
    take({ ...answer, cards: answer.runs.flatMap((run) => run.cards) });
  }
}

function take(answer) {
  const same = state.answer === answer;
  state.answer = answer;
  state.cards = answer.cards;
  if (!same) {
    filters.offer(answer.cards, answer.dag_ids);
    draw();
  }
}

let timer = null;
let asking = false;
let failedLooks = 0;

async function look() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  let next = null;
  try {
    await load();
    failedLooks = 0;
    notices(state.answer.troubles ?? []);
    if (state.answer.moving) next = EVERY;
  } catch (error) {
    failedLooks += 1;
    failed(error);
    if (error.status === 0 || error.status >= 500) next = Math.min(TROUBLED * failedLooks, 120000);
  }
  asking = false;
  byId("sheet").setAttribute("aria-busy", "false");
  // Nobody looks at a page in the background; it looks again when it is seen.
  if (next !== null && !document.hidden) timer = setTimeout(look, next);
  state.moving = next !== null;
}

document.addEventListener("visibilitychange", () => { if (!document.hidden && state.moving) look(); });

function failed(error) {
  const words = {
    0: "The API server does not answer. This page tries again by itself.",
    401: "You are signed out of Airflow. Sign in again, then reload this page.",
    403: "You may not see the pictures of this DAG: that takes the right to read its XComs.",
    404: error.message || "There is no such DAG run.",
  };
  const text = words[error.status] ?? `The pictures cannot be loaded (${error.status}). ${error.message}`;
  if (state.answer && error.status !== 401 && error.status !== 403) {
    notices([text]);
    return;
  }
  // Who may not look any more does not keep seeing.
  state.answer = null;
  state.cards = [];
  byId("filters").hidden = true;
  byId("totals").textContent = "";
  sheet.fill([]);
  notices([]);
  empty("Not shown", text, el("button", { type: "button", onclick: look }, "Try again"));
}

function notices(texts) {
  byId("notices").replaceChildren(...texts.map((text) => el("p", {}, text)));
}

function draw() {
  const { answer } = state;
  if (!answer) return;
  state.shown = apply(state.cards, filters.wanted);
  titles(answer);
  sheet.fill(groups(answer));
  if (!state.cards.length) {
    empty("No pictures yet", ofRun
      ? answer.moving ? "As soon as a Runflow task of this DAG run starts, it shows here." : "No Runflow task of this DAG run made or asked for any."
      : "What the Runflow operators of your DAGs make shows here.");
  } else if (!state.shown.length) {
    empty("Nothing fits", "No picture fits these filters.", el("button", { type: "button", onclick: () => filters.reset() }, "Clear filters"));
  } else empty(null);
  if (filters.isOn) announce(plural(state.shown.length, "picture"));
}

function empty(title, text, action) {
  byId("nothing")?.remove();
  if (!title) return;
  byId("sheet").before(el("div", { id: "nothing", class: "empty" }, el("h2", {}, title), el("p", {}, text), action));
}

function titles(answer) {
  const parts = [];
  if (ofRun) {
    const { run } = answer;
    const landed = answer.counts.landed ?? 0;
    parts.push(plural(landed, "picture"));
    for (const status of ["waiting", "blocked", "failed", "not landed"]) {
      if (answer.counts[status]) parts.push(`${answer.counts[status].toLocaleString("en-US")} ${status}`);
    }
    if (answer.cost_usd !== null) parts.push(money(answer.cost_usd));
    const began = Date.parse(run.started_at ?? "");
    const ended = run.ended_at ? Date.parse(run.ended_at) : Date.now();
    if (began) parts.push(duration(ended - began));
  } else {
    const sum = answer.runs.reduce((all, run) => all + (run.counts.landed ?? 0), 0);
    parts.push(`${plural(sum, "picture")} in the latest ${plural(answer.runs.length, "DAG run")}`);
    const costs = answer.runs.map((run) => run.cost_usd).filter((cost) => cost !== null);
    if (costs.length) parts.push(money(costs.reduce((all, cost) => all + Number(cost), 0)));
  }
  const text = parts.join(" · ");
  if (byId("totals").textContent !== text) byId("totals").textContent = text;
  if (ofRun) {
    byId("where").replaceChildren(el("span", {}, [scope.dag_id, scope.run_id, scope.task_id].filter(Boolean).join(" / ")));
    byId("where").hidden = false;
  }
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
  openViewer(state.shown, Math.max(0, at), { onClose: (last) => sheet.focusOn(last) });
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

function compareBar() {
  const bar = byId("compare-bar");
  bar.hidden = picked.size === 0;
  document.body.classList.toggle("has-compare-bar", picked.size > 0);
  const names = [...picked.values()].map(itemName);
  const button = el("button", {
    type: "button", class: "main", disabled: picked.size < 2, onclick: () => openCompare([...picked.values()], () => bar.querySelector("button")?.focus()),
  }, "Compare");
  const none = el("button", { type: "button", class: "quiet", onclick: () => { picked.clear(); sheet.repick(); compareBar(); } }, "Clear");
  bar.replaceChildren(el("span", { class: "cut" }, names.length === 2 ? names.join("  ↔  ") : `${names[0] ?? ""}: choose one more`), button, none);
  announce(names.length === 2 ? `${names[0]} and ${names[1]} chosen to compare` : names.length ? `${names[0]} chosen` : "None chosen");
}

followTheme();
look();
