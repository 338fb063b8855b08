// SPDX-License-Identifier: Apache-2.0
// The contact sheet: only the cards near the screen exist, so that thousands scroll as smoothly as ten.
import { makeCard } from "./card.js";
import { el, say } from "./dom.js";
import { identityOf, instanceOf } from "./words.js";

const GAP = 14;
const TEXT_HEIGHT = 116;
const HEADER_HEIGHT = 64;
const FIRST_HEADER_HEIGHT = 36;
const AHEAD = 700;

// Made once a card: while somebody scrolls, this is asked for at each frame.
const signatures = new WeakMap();

function signatureOf(card) {
  if (!signatures.has(card)) signatures.set(card, JSON.stringify(card));
  return signatures.get(card);
}

export class Sheet {
  // `on` has open(card) and pick(card); `picked` is a set of identities.
  constructor(root, picked, on) {
    this.root = root;
    this.picked = picked;
    this.on = on;
    this.groups = [];
    this.cards = [];
    this.rows = [];
    this.shown = new Map(); // identity, or header's key -> { element, signature }
    this.active = 0;
    this.pending = false;
    const later = () => this.schedule();
    window.addEventListener("scroll", later, { passive: true });
    new ResizeObserver(() => { this.lay(); later(); }).observe(root);
    root.addEventListener("keydown", (event) => this.keyed(event));
    root.addEventListener("focusin", (event) => this.focused(event));
  }

  // Each group has a key, cards, and what makes its header, if it has one.
  fill(groups) {
    const before = this.cards[this.active];
    const hadFocus = this.root.contains(document.activeElement);
    const control = document.activeElement.closest?.(".pick") ? ".pick input" : "button.open";
    this.groups = groups;
    this.cards = groups.flatMap((group) => group.cards);
    this.indices = new Map(this.cards.map((card, at) => [identityOf(card), at]));
    const next = before ? this.successor(before) : -1;
    this.active = next >= 0 ? next : Math.min(this.active, Math.max(0, this.cards.length - 1));
    this.lay();
    this.draw();
    if (hadFocus && !this.root.contains(document.activeElement)) this.take(next, control);
  }

  // Where a card is now; else the picture that its item got; else the first one of its task instance; else -1.
  successor(card) {
    const found = this.indices.get(identityOf(card));
    if (found !== undefined) return found;
    const instance = instanceOf(card);
    const at = this.cards.findIndex((each) => instanceOf(each) === instance && (each.key ?? "") === (card.key ?? ""));
    return at >= 0 ? at : this.cards.findIndex((each) => instanceOf(each) === instance);
  }

  // The keyboard is never lost: it goes to a card, or to the sheet. Nothing scrolls, for nobody asked for that.
  take(at, control = "button.open") {
    const element = at >= 0 ? this.shown.get(identityOf(this.cards[at]))?.element : null;
    const target = element?.querySelector(control) ?? element?.querySelector("button.open") ?? this.root;
    target.focus({ preventScroll: true });
  }

  lay() {
    const width = this.root.clientWidth;
    const least = width < 560 ? 150 : 200;
    this.columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
    this.side = Math.floor((width - GAP * (this.columns - 1)) / this.columns);
    const height = this.side + TEXT_HEIGHT;
    this.rows = [];
    let top = 0;
    let first = 0;
    for (const group of this.groups) {
      if (group.header) {
        // On a narrow screen its two texts stand below each other.
        const room = top ? HEADER_HEIGHT : FIRST_HEADER_HEIGHT + (width < 560 ? 22 : 0);
        this.rows.push({ top, height: room, group });
        top += room;
      }
      for (let at = 0; at < group.cards.length; at += this.columns) {
        const count = Math.min(this.columns, group.cards.length - at);
        this.rows.push({ top, height, first: first + at, count });
        top += height + GAP;
      }
      first += group.cards.length;
    }
    this.root.style.height = `${top}px`;
  }

  schedule() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  draw() {
    const offset = this.root.getBoundingClientRect().top;
    const [from, to] = [-offset - AHEAD, -offset + window.innerHeight + AHEAD];
    const wanted = [];
    for (const row of this.rows) {
      if ((row.top + row.height < from || row.top > to) && !this.hasFocus(row)) continue;
      if (row.group) wanted.push(this.header(row));
      else for (let at = 0; at < row.count; at += 1) wanted.push(this.card(row, at));
    }
    const keep = new Set(wanted.map((each) => each.key));
    for (const [key, { element }] of this.shown) {
      if (keep.has(key)) continue;
      element.remove();
      this.shown.delete(key);
    }
    let after = null;
    for (const { element } of wanted) {
      const next = after ? after.nextSibling : this.root.firstChild;
      if (next !== element) this.root.insertBefore(element, next);
      after = element;
    }
    this.mark();
  }

  // What has the focus exists wherever it is, or the keyboard would be lost.
  hasFocus(row) {
    if (!this.root.contains(document.activeElement)) return false;
    if (row.group) return Boolean(this.shown.get(`header ${row.group.key}`)?.element.contains(document.activeElement));
    return this.active >= row.first && this.active < row.first + row.count;
  }

  header(row) {
    const key = `header ${row.group.key}`;
    return this.placed(key, `${row.group.signature ?? ""} ${row.top === 0}`, () => el("div", { class: "group" }, row.group.header()), 0, row.top, null, row.height);
  }

  card(row, at) {
    const index = row.first + at;
    const card = this.cards[index];
    const key = identityOf(card);
    const make = () => makeCard(card, {
      isPicked: this.picked.has(key),
      onOpen: () => this.on.open(this.cards[this.indices.get(key)] ?? card),
      onPick: () => this.on.pick(this.cards[this.indices.get(key)] ?? card),
    });
    const placed = this.placed(key, signatureOf(card), make, at * (this.side + GAP), row.top, this.side);
    placed.element.dataset.at = index;
    say(placed.element.querySelector(".place"), `, ${index + 1} of ${this.cards.length}`);
    return placed;
  }

  placed(key, signature, make, left, top, width, height) {
    let known = this.shown.get(key);
    if (!known || known.signature !== signature) {
      const element = make();
      const hadFocus = known?.element.contains(document.activeElement);
      known?.element.replaceWith(element);
      // The link of a group; for cards see fill().
      if (hadFocus && element.classList.contains("group")) element.querySelector("a")?.focus({ preventScroll: true });
      known = { element, signature };
      this.shown.set(key, known);
    }
    const { style } = known.element;
    style.transform = `translate(${left}px, ${top}px)`;
    if (height) style.height = `${height}px`;
    if (width) {
      style.width = `${width}px`;
      style.setProperty("--side", `${width}px`);
    }
    return { key, element: known.element };
  }

  // One card is in the order of the tabulator key; arrows move among them.
  mark() {
    for (const { element } of this.shown.values()) {
      const isActive = Number(element.dataset.at) === this.active;
      for (const each of element.querySelectorAll("button.open, .pick input")) each.tabIndex = isActive ? 0 : -1;
    }
  }

  repick() {
    for (const [key, { element }] of this.shown) {
      const box = element.querySelector(".pick input");
      if (box) box.checked = this.picked.has(key);
    }
  }

  focused(event) {
    const at = Number(event.target.closest("article")?.dataset.at);
    if (!Number.isInteger(at)) return;
    this.active = at;
    this.mark();
  }

  keyed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const moves = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns,
      Home: -Infinity, End: Infinity, PageDown: this.columns * 3, PageUp: -this.columns * 3,
    };
    if (event.key in moves) {
      event.preventDefault();
      this.go(Math.max(0, Math.min(this.cards.length - 1, this.active + moves[event.key])));
    } else if (event.key === "c") {
      const card = this.cards[this.active];
      if (card?.status === "landed") this.on.pick(card);
    }
  }

  go(at) {
    if (!this.cards.length) return;
    this.active = at;
    const row = this.rows.find((each) => !each.group && at >= each.first && at < each.first + each.count);
    const top = this.root.getBoundingClientRect().top + row.top;
    const bottom = window.innerHeight - document.getElementById("compare-bar").offsetHeight;
    if (top < 0) window.scrollBy({ top: top - GAP });
    else if (top + row.height > bottom) window.scrollBy({ top: top + row.height - bottom + GAP });
    this.draw();
    const card = this.cards[at];
    this.shown.get(identityOf(card))?.element.querySelector("button.open").focus({ preventScroll: true });
  }

  focusOn(card) {
    const at = card ? this.successor(card) : this.active;
    if (at >= 0 && this.cards.length) this.go(at);
    else this.root.focus({ preventScroll: true });
  }
}
