/** All steps of a run as a table of which only the visible rows exist. */
import { bytes, seconds } from "./words.js";

const ROW = 28, MORE = 12;

export class StepRows {
  /** The part that scrolls. */
  element;
  #fold;
  #body;
  #field;
  #counter;
  #words;
  #all = [];
  #shown = [];
  #selected;
  onSelect = () => {};

  constructor(fold, words) {
    this.#fold = fold;
    this.#words = words;
    this.element = fold.querySelector("[data-rows]");
    this.#body = this.element.querySelector("tbody");
    this.#field = fold.querySelector("[data-filter]");
    this.#counter = fold.querySelector("[data-count]");
    this.#field.addEventListener("input", () => this.#filter());
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    fold.addEventListener("toggle", () => this.draw());
    this.#body.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-step-id]");
      if (row) this.onSelect(row.dataset.stepId);
    });
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(steps) {
    this.#all = steps;
    this.#filter();
  }

  focusFilter() {
    this.#fold.open = true;
    this.#field.focus();
    this.#field.select();
  }

  /** Marks a step, and shows it where rows are shown. */
  select(id) {
    this.#selected = id;
    const at = this.#shown.findIndex((step) => step.id === id);
    if (at >= 0 && this.#fold.open) {
      const top = at * ROW, room = this.element.clientHeight - 2 * ROW;
      if (top < this.element.scrollTop || top > this.element.scrollTop + room) this.element.scrollTop = top - room / 2;
    }
    this.draw();
  }

  walk(step) {
    this.#fold.open = true;
    const at = this.#shown.findIndex(({ id }) => id === this.#selected);
    const next = this.#shown[at < 0 ? 0 : Math.min(Math.max(at + step, 0), this.#shown.length - 1)];
    if (next !== undefined) this.onSelect(next.id);
  }

  draw() {
    if (!this.#fold.open) return;
    const from = Math.max(0, Math.floor(this.element.scrollTop / ROW) - MORE);
    const to = Math.min(
      this.#shown.length,
      Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW) + MORE,
    );
    const space = (rows) => {
      const row = document.createElement("tr");
      row.className = "spacer";
      row.style.height = `${rows * ROW}px`;
      row.setAttribute("aria-hidden", "true");
      row.append(document.createElement("td"));
      return row;
    };
    this.element.querySelector("table").setAttribute("aria-rowcount", this.#shown.length + 1);
    const rows = this.#shown.slice(from, to).map((step, i) => this.#row(step, from + i));
    this.#body.replaceChildren(space(from), ...rows, space(this.#shown.length - to));
  }

  #filter() {
    const words = this.#field.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    this.#shown = words.length === 0 ? this.#all : this.#all.filter((step) => {
      const text = `${step.id} ${this.#words[step.state]} ${step.because ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const [count, all] = [this.#shown.length, this.#all.length].map((each) => each.toLocaleString("en"));
    this.#counter.textContent = this.#shown === this.#all ? `${all} steps` : `${count} of ${all} steps`;
    this.draw();
  }

  #row(step, at) {
    const row = document.createElement("tr");
    row.dataset.stepId = step.id;
    row.setAttribute("aria-rowindex", at + 2);
    if (step.id === this.#selected) row.setAttribute("data-current", "");
    const cell = (text, className = "") => {
      const cell = document.createElement("td");
      cell.className = className;
      cell.textContent = text;
      return cell;
    };
    const state = cell("", "words");
    const badge = document.createElement("span");
    badge.className = "badge";
    badge.dataset.state = step.state;
    badge.textContent = this.#words[step.state];
    state.append(badge);
    const why = cell(step.error ?? step.because ?? "", "words spare-1");
    why.title = why.textContent;
    row.append(
      cell(step.id, "words"),
      state,
      cell(step.seconds === undefined ? "" : seconds(step.seconds)),
      cell(step.memory === undefined ? "" : bytes(step.memory), "spare-1"),
      cell(step.bytes === undefined ? "" : bytes(step.bytes), "spare-1"),
      why,
    );
    return row;
  }
}
