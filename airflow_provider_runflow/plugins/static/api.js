// SPDX-License-Identifier: Apache-2.0
// Asking the API server. The UI's cookie says who asks; Airflow 3.1 keeps the user's token in the page instead.

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

export async function ask(address) {
  const before = known.get(address);
  const headers = { Accept: "application/json", ...identity() };
  if (before) headers["If-None-Match"] = before.tag;
  let response;
  try {
    response = await fetch(address, { headers, credentials: "same-origin", cache: "no-store" });
  } catch {
    throw new Refused(0, "The API server does not answer.");
  }
  if (response.status === 304 && before) return before.answer;
  if (!response.ok) throw new Refused(response.status, await reasonOf(response));
  const answer = await response.json();
  const tag = response.headers.get("ETag");
  if (tag) known.set(address, { tag, answer });
  return answer;
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

export const latest = (dagId) => ask(`api/latest?${query({ dag_id: dagId })}`);

export async function picturesOf(scope, onPage) {
  const { dag_id: dagId, ...rest } = scope;
  const cards = [];
  let answer;
  let offset = 0;
  do {
    answer = await ask(`api/dags/${encodeURIComponent(dagId)}/pictures?${query({ ...rest, offset: offset || null })}`);
    cards.push(...answer.cards);
    offset = answer.next;
    onPage?.({ ...answer, cards: [...cards] });
  } while (offset);
  return { ...answer, cards };
}

const instance = (card) => ({ run_id: card.run_id, task_id: card.task_id, map_index: card.map_index });

export function pictureAddress(card, options = {}) {
  const sha256 = options.sha256 ?? card.sha256;
  const more = { size: options.size, download: options.download ? "true" : null };
  return `dags/${encodeURIComponent(card.dag_id)}/pictures/${sha256}?${query({ ...instance(card), ...more })}`;
}

export const sidecarOf = (card) =>
  ask(`api/dags/${encodeURIComponent(card.dag_id)}/sidecars/${card.sha256}?${query(instance(card))}`);

// Shows a picture in an <img>. Where the identity is no cookie, an <img> cannot carry it: then it is fetched.
export async function show(image, address) {
  const headers = identity();
  if (!headers.Authorization) {
    image.src = address;
    return;
  }
  try {
    const response = await fetch(address, { headers });
    if (!response.ok) throw new Error();
    const local = URL.createObjectURL(await response.blob());
    image.addEventListener("load", () => URL.revokeObjectURL(local), { once: true });
    image.src = local;
  } catch {
    image.dispatchEvent(new Event("error"));
  }
}
