// SPDX-License-Identifier: Apache-2.0
// Which cards are shown, and in which order.
import { el } from "./dom.js";
import { modelName } from "./words.js";

export const STATUSES = ["landed", "waiting", "blocked", "failed", "not landed"];

const SORTS = {
  order: "In order",
  newest: "Newest first",
  oldest: "Oldest first",
  dearest: "Dearest first",
  cheapest: "Cheapest first",
};

const time = (card) => Date.parse(card.ended_at ?? card.started_at ?? "") || 0;
const cost = (card) => (card.cost_usd === null || card.cost_usd === undefined ? null : Number(card.cost_usd));

const COMPARE = {
  newest: (a, b) => time(b) - time(a),
  oldest: (a, b) => time(a) - time(b),
  // What has no cost comes last, whichever way.
  dearest: (a, b) => (cost(b) ?? -1) - (cost(a) ?? -1),
  cheapest: (a, b) => (cost(a) ?? Infinity) - (cost(b) ?? Infinity),
};

const labelsOf = (card) => Object.entries(card.labels ?? {}).map(([name, value]) => `${name}: ${value}`);

export const FIELDS = {
  dag: { called: "DAG", of: (card) => [card.dag_id] },
  task: { called: "Task", of: (card) => [card.task_id] },
  status: { called: "Status", of: (card) => [card.status] },
  model: { called: "Model", of: (card) => (card.model ? [card.model] : []), named: modelName },
  label: { called: "Label", of: labelsOf },
};

// Made once a card: thousands are searched at each key that is pressed.
const texts = new WeakMap();

function textOf(card) {
  if (!texts.has(card)) {
    const told = [card.prompt, card.key, card.map_label, card.task_id, card.reason, ...labelsOf(card)];
    texts.set(card, told.filter(Boolean).join(" ").toLowerCase());
  }
  return texts.get(card);
}

export function apply(cards, wanted) {
  const words = (wanted.text ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const kept = cards.filter((card) => {
    for (const [name, field] of Object.entries(FIELDS)) {
      if (wanted[name] && !field.of(card).includes(wanted[name])) return false;
    }
    if (!words.length) return true;
    const text = textOf(card);
    return words.every((word) => text.includes(word));
  });
  const compare = COMPARE[wanted.sort];
  return compare ? kept.map((card, at) => [card, at]).sort(([a, i], [b, j]) => compare(a, b) || i - j).map(([card]) => card) : kept;
}

// The form. `onChange` gets what is wanted now.
export class Filters {
  constructor(form, onChange) {
    this.form = form;
    this.wanted = { sort: "order" };
    this.onChange = onChange;
    this.options = new Map();
    this.build();
  }

  build() {
    const changed = () => this.changed();
    this.text = el("input", {
      type: "search", id: "filter-text", placeholder: "Prompt, label or key", oninput: changed, autocomplete: "off",
    });
    this.selects = {};
    const fields = Object.entries(FIELDS).map(([name, field]) => {
      const select = (this.selects[name] = el("select", { id: `filter-${name}`, onchange: changed }));
      return el("div", { class: "field", hidden: true }, el("label", { htmlFor: select.id }, field.called), select);
    });
    this.sort = el("select", { id: "filter-sort", onchange: changed },
      Object.entries(SORTS).map(([value, text]) => el("option", { value }, text)));
    this.clear = el("button", { type: "button", class: "quiet", onclick: () => this.reset() }, "Clear filters");
    this.clear.hidden = true;
    this.form.append(
      el("div", { class: "field wide" }, el("label", { htmlFor: "filter-text" }, "Search"), this.text),
      ...fields,
      el("div", { class: "field" }, el("label", { htmlFor: "filter-sort" }, "Sort"), this.sort),
      this.clear,
    );
    this.form.addEventListener("submit", (event) => event.preventDefault());
  }

  // Offers what there is; a choice of one is none, but what somebody chose stays.
  offer(cards, dagIds) {
    for (const [name, field] of Object.entries(FIELDS)) {
      const found = new Set(name === "dag" && dagIds ? dagIds : cards.flatMap(field.of));
      const chosen = this.wanted[name];
      if (chosen) found.add(chosen);
      const values = name === "status" ? STATUSES.filter((each) => found.has(each)) : [...found].sort();
      const select = this.selects[name];
      select.parentNode.hidden = values.length < 2 && !chosen;
      const same = this.options.get(name);
      if (same && same.length === values.length && same.every((value, at) => value === values[at])) continue;
      this.options.set(name, values);
      select.replaceChildren(el("option", { value: "" }, "All"),
        ...values.map((value) => el("option", { value }, field.named ? field.named(value) : value)));
      select.value = chosen ?? "";
    }
    this.form.hidden = false;
  }

  changed() {
    this.wanted = { text: this.text.value.trim(), sort: this.sort.value };
    for (const [name, select] of Object.entries(this.selects)) this.wanted[name] = select.value || null;
    this.clear.hidden = !this.isOn;
    this.onChange(this.wanted);
  }

  get isOn() {
    const { text, sort, ...fields } = this.wanted;
    return Boolean(text) || Object.values(fields).some(Boolean);
  }

  reset() {
    this.text.value = "";
    for (const select of Object.values(this.selects)) select.value = "";
    this.changed();
    this.text.focus();
  }
}
