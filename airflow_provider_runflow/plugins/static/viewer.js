// SPDX-License-Identifier: Apache-2.0
// The full picture with everything that is known of it; and two of them side by side.
import { fetchPicture, pictureAddress, show, sidecarOf } from "./api.js";
import { STATUS_WORDS } from "./card.js";
import { airflowLink, copy, el, saveLink } from "./dom.js";
import { altText, bytes, itemName, modelName, moment, money, pixels, taskPath } from "./words.js";

function factsOf(card) {
  return [
    ["Status", STATUS_WORDS[card.status] + (card.outcome && card.status !== "landed" ? ` (${card.outcome.replace("_", " ")})` : "")],
    ["Reason", card.status === "landed" ? "" : card.reason],
    ["Prompt", card.prompt],
    ["Model", card.model ? `${modelName(card.model)} (${card.model})` : ""],
    ["Quality", card.quality],
    ["Size", pixels(card) || card.asked_size],
    ["File", [card.content_type?.replace("image/", "").toUpperCase(), bytes(card.size_bytes)].filter(Boolean).join(", ")],
    ["Cost", card.cost_usd ? `${money(card.cost_usd)}${card.in_run > 1 ? ` for all ${card.in_run} pictures of the run` : ""}${card.reused ? ", paid by an earlier task" : ""}` : ""],
    ["Time", card.ended_at ? moment(card.ended_at) : ""],
    ["Labels", Object.entries(card.labels ?? {}).map(([name, value]) => `${name}: ${value}`).join(", ")],
    ["Take", card.variation],
    ["Alt text", card.alt_text],
    ["DAG", card.dag_id],
    ["DAG run", card.run_id],
    ["Task", card.task_id + (card.map_index >= 0 ? ` [${card.map_label ?? card.map_index}]` : "")],
    ["Runflow run", card.runflow_run_id],
    ["sha256", card.sha256],
    ["Address", card.uri],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [name, String(value)]);
}

const COPIED = new Set(["Prompt", "Runflow run", "sha256", "Address"]);

function factList(card) {
  return el("dl", { class: "facts" }, factsOf(card).flatMap(([name, value]) => [
    el("dt", {}, name),
    el("dd", { class: name === "sha256" || name === "Address" || name === "Runflow run" ? "code" : null }, el("span", {}, value),
      COPIED.has(name)
        ? el("button", { type: "button", class: "quiet small", "aria-label": `Copy: ${name}`, onclick: (event) => copy(value, event.currentTarget) }, "Copy")
        : null),
  ]));
}

function fullPicture(card, options = {}) {
  if (card.status !== "landed") return el("p", { class: "nothing" }, card.reason ?? STATUS_WORDS[card.status]);
  const image = el("img", { alt: altText(card), class: "full" });
  if (card.width) Object.assign(image, { width: card.width, height: card.height });
  image.addEventListener("error", async () => {
    image.replaceWith(el("p", { class: "nothing", role: "alert" }, await whyNot(card)));
  }, { once: true });
  show(image, pictureAddress(card, options));
  return image;
}

// An <img> does not tell what the server said.
async function whyNot(card) {
  try {
    await fetchPicture(pictureAddress(card));
    return "The picture cannot be shown.";
  } catch (error) {
    return error.message || "The picture cannot be shown.";
  }
}

async function addSidecar(place, card) {
  let told;
  try {
    const { sidecar } = await sidecarOf(card);
    told = sidecar;
  } catch (error) {
    place.append(el("p", { class: "muted" }, error.message || "The sidecar cannot be read."));
    return;
  }
  place.append(told
    ? el("pre", { tabIndex: 0, "aria-label": "Sidecar" }, JSON.stringify(told, null, 2))
    : el("p", { class: "muted" }, "There is no sidecar beside this picture."));
}

function derivatives(card) {
  if (!card.derivatives?.length) return null;
  return el("section", {}, el("h3", {}, "Derivatives"),
    el("ul", { class: "derivatives" }, card.derivatives.map((each) => el("li", {},
      each.sha256 && each.uri
        ? saveLink(pictureAddress(card, { sha256: each.sha256, download: true }), fetchPicture, each.name ?? "derivative")
        : el("span", {}, each.name ?? "derivative"),
      el("span", { class: "muted" }, [pixels(each), bytes(each.size_bytes)].filter(Boolean).join(", "))))));
}

// Who may not look any more does not keep seeing.
export const closeAll = () => document.querySelectorAll("dialog[open]").forEach((box) => box.close());

function dialog(name, className, onClose) {
  const box = el("dialog", { class: className, "aria-label": name });
  box.addEventListener("close", () => {
    box.remove();
    document.documentElement.classList.remove("has-dialog");
    onClose?.();
  });
  // A click beside the dialog's content closes it.
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  document.body.append(box);
  document.documentElement.classList.add("has-dialog");
  return box;
}

export function openViewer(cards, at, { onMove, onClose }) {
  const box = dialog("Picture", "viewer", () => onClose(cards[at]));
  const stage = el("div", { class: "stage" });
  const side = el("div", { class: "side", tabIndex: 0, role: "region", "aria-label": "About the picture" });
  const count = el("span", { class: "muted" });
  const title = el("h2", {});
  const back = el("button", { type: "button", class: "quiet", "aria-label": "Previous picture", onclick: () => move(-1) }, "←");
  const on = el("button", { type: "button", class: "quiet", "aria-label": "Next picture", onclick: () => move(1) }, "→");
  const close = el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => box.close() }, "✕");
  box.append(el("div", { class: "bar" }, title, count, back, on, close), el("div", { class: "split" }, stage, side));

  function move(by) {
    const next = at + by;
    if (next < 0 || next >= cards.length) return;
    at = next;
    onMove?.(cards[at]);
    draw();
  }

  function draw() {
    const card = cards[at];
    title.textContent = itemName(card);
    count.textContent = `${at + 1} of ${cards.length}`;
    back.disabled = at === 0;
    on.disabled = at === cards.length - 1;
    stage.replaceChildren(fullPicture(card));
    stage.classList.remove("zoomed");
    const more = el("details", { class: "sidecar" }, el("summary", {}, "Sidecar"));
    more.addEventListener("toggle", () => { if (more.open && more.children.length === 1) addSidecar(more, card); });
    const landed = card.status === "landed";
    const parts = [
      el("p", { class: "links" },
        airflowLink(taskPath(card), "Log of the task"),
        landed ? saveLink(pictureAddress(card, { download: true }), fetchPicture, "Download") : null),
      factList(card),
      derivatives(card),
      landed ? more : null,
    ];
    side.replaceChildren(...parts.filter(Boolean));
    side.scrollTop = 0;
  }

  stage.addEventListener("click", (event) => {
    if (event.target.tagName === "IMG") stage.classList.toggle("zoomed");
  });
  box.addEventListener("keydown", (event) => {
    if (event.target.tagName === "PRE" || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowRight") move(1);
    if (event.key === "ArrowLeft") move(-1);
  });
  draw();
  box.showModal();
  close.focus();
}

export function openCompare([left, right], onClose) {
  const box = dialog("Two pictures side by side", "viewer compare", onClose);
  const close = el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => box.close() }, "✕");
  const facts = [left, right].map((card) => new Map(factsOf(card)));
  const names = [...new Set(facts.flatMap((each) => [...each.keys()]))].filter((name) => name !== "Address");
  const rows = names.map((name) => {
    const [a, b] = facts.map((each) => each.get(name) ?? "–");
    return el("tr", { class: a === b ? null : "differs" },
      el("th", { scope: "row" }, name, a === b ? null : el("span", { class: "for-readers" }, " (differs)")), el("td", {}, a), el("td", {}, b));
  });
  box.append(
    el("div", { class: "bar" }, el("h2", {}, "Compare"), close),
    el("div", { class: "scrolled", tabIndex: 0, role: "region", "aria-label": "The two pictures" },
      el("div", { class: "pair" }, [left, right].map((card) => el("figure", {},
        fullPicture(card), el("figcaption", {}, itemName(card))))),
      el("table", { class: "differences" },
        el("caption", { class: "for-readers" }, "What is known of both"),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "What"), el("th", { scope: "col" }, itemName(left)), el("th", { scope: "col" }, itemName(right)))),
        el("tbody", {}, rows))));
  box.showModal();
  close.focus();
}
