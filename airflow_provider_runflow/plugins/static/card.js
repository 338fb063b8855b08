// SPDX-License-Identifier: Apache-2.0
// One card of the contact sheet.
import { pictureAddress, show } from "./api.js";
import { el } from "./dom.js";
import { altText, bytes, itemName, modelName, money, pixels } from "./words.js";

export const STATUS_WORDS = {
  landed: "Landed",
  waiting: "Waiting",
  blocked: "Blocked",
  failed: "Failed",
  "not landed": "Not landed",
};

export function makeCard(card, { onOpen, onPick, isPicked }) {
  const name = itemName(card);
  const button = el("button", { type: "button", class: "open", tabIndex: -1, onclick: onOpen },
    frame(card),
    el("span", { class: "text" },
      el("span", { class: "line" },
        el("strong", { class: "name", title: name }, name),
        el("span", { class: "cost" }, money(card.cost_usd))),
      el("span", { class: "muted cut" }, [modelName(card.model), card.quality].filter(Boolean).join(" · ") || "\u00a0"),
      el("span", { class: "muted cut" }, sizes(card) || "\u00a0"),
      el("span", { class: "cut", title: card.prompt ?? "" }, card.prompt ?? "\u00a0"),
      labels(card)),
    el("span", { class: "for-readers" }, `, ${STATUS_WORDS[card.status]}`, el("span", { class: "place" })));
  const parts = [button];
  if (card.status === "landed") {
    const box = el("input", {
      type: "checkbox", tabIndex: -1, checked: isPicked, "aria-label": `Compare ${name}`, onchange: onPick,
    });
    parts.push(el("label", { class: "pick", title: "Compare (c)" }, box));
  }
  return el("article", { class: `card ${card.status.replace(" ", "-")}` }, parts);
}

function sizes(card) {
  return [pixels(card) || card.asked_size, bytes(card.size_bytes)].filter(Boolean).join(" · ");
}

function labels(card) {
  const told = Object.entries(card.labels ?? {}).map(([name, value]) => `${name}: ${value}`);
  if (card.reused) told.unshift("paid before");
  return el("span", { class: "labels cut", title: told.join("\n") },
    told.length ? told.map((text) => el("span", { class: "label" }, text)) : "\u00a0");
}

function frame(card) {
  if (card.status === "landed") {
    const image = el("img", { alt: altText(card), decoding: "async", draggable: false });
    image.addEventListener("error", () => {
      image.replaceWith(message("failed", "Cannot be shown", "Open it to see why."));
    }, { once: true });
    show(image, pictureAddress(card, { size: "thumbnail" }));
    return el("span", { class: "frame" }, image);
  }
  return el("span", { class: "frame" }, message(card.status, heading(card), detail(card)));
}

function message(status, title, text) {
  return el("span", { class: `message ${status.replace(" ", "-")}` },
    el("span", { class: "badge" }, title),
    text ? el("span", { class: "reason" }, text) : null);
}

function heading(card) {
  if (card.status === "waiting" && card.count > 1) return `${card.count.toLocaleString("en-US")} waiting`;
  return STATUS_WORDS[card.status];
}

const STATES = {
  deferred: "Runflow draws; no worker slot is held.",
  running: "The task is running.",
  queued: "The task is queued.",
  scheduled: "The task is scheduled.",
  up_for_retry: "It will be tried again.",
};

function detail(card) {
  // The run's id is among the facts of the full view; here it would take the place of the reason.
  if (card.status !== "waiting") return (card.reason ?? "").replace(/^Runflow run \S+ (failed: )?/, "");
  const outcomes = Object.entries(card.progress?.outcomes ?? {}).filter(([name]) => name !== "waiting");
  const told = outcomes.map(([name, count]) => `${count} ${name.replace("_", " ")}`).join(", ");
  return [STATES[card.state] ?? "", told, card.reason ?? ""].filter(Boolean).join(" ");
}
