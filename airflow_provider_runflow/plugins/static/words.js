// SPDX-License-Identifier: Apache-2.0
// How numbers, names and moments are written.

export const MODEL_NAMES = {
  "openai/gpt-image-2": "GPT Image 2",
  "openai/gpt-image-2/edit": "GPT Image 2 Edit",
  "openai/gpt-image-1.5": "GPT Image 1.5",
  "openai/gpt-image-1.5/edit": "GPT Image 1.5 Edit",
};

export const modelName = (model) => MODEL_NAMES[model] ?? model ?? "";

// Costs are decimals as text; sums are for the eye, so floating point will do once rounded.
export function money(text) {
  if (text === null || text === undefined) return "";
  const number = Number(text);
  if (!Number.isFinite(number)) return String(text);
  return `$${number.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 4 })}`;
}

export function bytes(count) {
  if (!Number.isFinite(count)) return "";
  if (count < 1000) return `${count} B`;
  if (count < 1e6) return `${(count / 1000).toFixed(0)} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

export const pixels = (card) => (card.width && card.height ? `${card.width} × ${card.height}` : "");

export function duration(milliseconds) {
  if (!Number.isFinite(milliseconds) || milliseconds < 0) return "";
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function moment(text) {
  if (!text) return "";
  const when = new Date(text);
  return Number.isNaN(when.getTime())
    ? text
    : when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en-US")} ${count === 1 ? one : many}`;

export function itemName(card) {
  const mapped = card.map_index >= 0 ? card.map_label ?? `[${card.map_index}]` : "";
  const number = card.in_run > 1 && Number.isInteger(card.index) ? ` #${card.index + 1}` : "";
  return `${card.key || mapped || card.task_id}${number}`;
}

// For people who do not see the picture: what it was meant to show.
export function altText(card) {
  if (card.alt_text) return card.alt_text;
  if (card.prompt) return `Picture of ${itemName(card)}: ${card.prompt.slice(0, 200)}`;
  return `Picture of ${itemName(card)}`;
}

export function taskPath(card, tail = "") {
  const mapped = card.map_index >= 0 ? `/mapped/${card.map_index}` : "";
  const [dag, run, task] = [card.dag_id, card.run_id, card.task_id].map(encodeURIComponent);
  return `/dags/${dag}/runs/${run}/tasks/${task}${mapped}${tail}`;
}

export const runPath = (run, tail = "") =>
  `/dags/${encodeURIComponent(run.dag_id)}/runs/${encodeURIComponent(run.run_id)}${tail}`;

export const instanceOf = (card) => [card.dag_id, card.run_id, card.task_id, card.map_index].join("\u0000");

export const identityOf = (card) => [instanceOf(card), card.key ?? "", card.index ?? "-"].join("\u0000");
