// SPDX-License-Identifier: Apache-2.0
// Asking the API server. The UI's cookie says who asks; Airflow 3.1 keeps the user's token in the page instead.
import { identityOf } from "./words.js";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function identity() {
  try {
    const token = localStorage.getItem("token");
    return token ? { Authorization: `Bearer ${token}` } : {};
  } catch {
    return {};
  }
}

const known = new Map(); // address -> { tag, answer }

// What has not changed is the very object that was returned before.
export async function ask(address, signal) {
  const before = known.get(address);
  const headers = { Accept: "application/json" };
  if (before) headers["If-None-Match"] = before.tag;
  const response = await fetched(address, { headers, signal, cache: "no-store" });
  if (response.status === 304 && before) return before.answer;
  if (!response.ok) throw new Refused(response.status, await reasonOf(response));
  const answer = await response.json().catch(silent);
  const tag = response.headers.get("ETag");
  if (tag) known.set(address, { tag, answer });
  return answer;
}

const fetched = (address, { headers, ...more } = {}) =>
  fetch(address, { headers: { ...headers, ...identity() }, credentials: "same-origin", ...more }).catch(silent);

function silent() {
  throw new Refused(0, "The API server does not answer.");
}

async function reasonOf(response) {
  try {
    const { detail } = await response.json();
    return typeof detail === "string" ? detail : "";
  } catch {
    return "";
  }
}

const query = (values) => {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(given).toString();
};

// What was put together of the same answers is the same object, too: the page sees that nothing is new.
let joined = { parts: [], whole: null };

function join(parts, make) {
  const same = parts.length === joined.parts.length && parts.every((part, at) => part === joined.parts[at]);
  if (!same) joined = { parts, whole: make() };
  return joined.whole;
}

export async function latest(dagId, { signal } = {}) {
  const answer = await ask(`api/latest?${query({ dag_id: dagId })}`, signal);
  return join([answer], () => ({ ...answer, cards: answer.runs.flatMap((run) => run.cards) }));
}

// The first page is small: it is on the screen while the others come.
const FIRST_PAGE = 200;
const READINGS = 3;

// A batch may end between one page and the next. Such pages tell of two moments, which all that is told of the whole
// shows: while something moves, the next look mends it; what says that nothing moves any more is read once more now.
export async function picturesOf(scope, { signal, onFirst } = {}) {
  for (let reading = 1; ; reading += 1) {
    const pages = await pagesOf(scope, signal, reading === 1 ? onFirst : null);
    const last = pages[pages.length - 1];
    const torn = pages.some((page) => wholeOf(page) !== wholeOf(last));
    if (torn && !last.moving && reading < READINGS) continue;
    return join(pages, () => {
      const cards = new Map(pages.flatMap((page) => page.cards).map((card) => [identityOf(card), card]));
      return { ...last, cards: [...cards.values()], moving: last.moving || torn };
    });
  }
}

async function pagesOf({ dag_id: dagId, ...rest }, signal, onFirst) {
  const pages = [];
  let offset = 0;
  do {
    const which = query({ ...rest, offset: offset || null, limit: offset ? null : FIRST_PAGE });
    const page = await ask(`api/dags/${encodeURIComponent(dagId)}/pictures?${which}`, signal);
    if (!pages.length) onFirst?.(page);
    pages.push(page);
    offset = page.next;
  } while (offset);
  return pages;
}

const wholeOf = ({ run, counts, cost_usd: cost, total, moving, troubles }) =>
  JSON.stringify([run, counts, cost, total, moving, troubles]);

const instance = (card) => ({ run_id: card.run_id, task_id: card.task_id, map_index: card.map_index });

export function pictureAddress(card, options = {}) {
  const sha256 = options.sha256 ?? card.sha256;
  const more = { size: options.size, download: options.download ? "true" : null };
  return `dags/${encodeURIComponent(card.dag_id)}/pictures/${sha256}?${query({ ...instance(card), ...more })}`;
}

export const sidecarOf = (card) =>
  ask(`api/dags/${encodeURIComponent(card.dag_id)}/sidecars/${card.sha256}?${query(instance(card))}`);

// The bytes of a picture; a refusal has the server's reason.
export async function fetchPicture(address) {
  const response = await fetched(address);
  if (!response.ok) throw new Refused(response.status, await reasonOf(response));
  const [, name = "picture"] = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "") ?? [];
  return { name, blob: await response.blob().catch(silent) };
}

// Shows a picture in an <img>. Where the identity is no cookie, an <img> cannot carry it: then it is fetched.
export async function show(image, address) {
  if (!identity().Authorization) {
    image.src = address;
    return;
  }
  try {
    const local = URL.createObjectURL((await fetchPicture(address)).blob);
    image.addEventListener("load", () => URL.revokeObjectURL(local), { once: true });
    image.src = local;
  } catch {
    image.dispatchEvent(new Event("error"));
  }
}
