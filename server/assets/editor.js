/** A field for text with line numbers, marks below what is wrong, and completion: a plain textarea over what is painted. */

/** Text that is longer is shown plainly. */
const MOST_PAINTED = 60_000;

const make = (name, properties = {}, children = []) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

/** The editor. `onChange` is told of every change, `onCaret` of where the caret is. */
export class Editor {
  onChange = () => {};
  onCaret = () => {};
  /** What completes a place: `(offset, text)` to a list of `{ label, insert, back, note, from }`. */
  complete = () => [];
  #marks = [];
  #choices = [];
  #chosen = 0;

  constructor(root) {
    this.area = root.querySelector("[data-source]");
    this.paint = root.querySelector("[data-paint]");
    this.gutter = root.querySelector("[data-gutter]");
    this.list = root.querySelector("[data-completion]");
    const { area } = this;
    area.addEventListener("input", () => {
      this.draw();
      this.onChange();
      this.#moved();
      if (!this.list.hidden) this.openCompletion(false);
    });
    area.addEventListener("scroll", () => this.#scroll());
    area.addEventListener("keydown", (event) => this.#key(event));
    area.addEventListener("blur", () => this.closeCompletion());
    area.addEventListener("click", () => this.closeCompletion());
    addEventListener("resize", () => this.list.hidden || this.#placeAgain());
    document.addEventListener("selectionchange", () => document.activeElement === area && this.#moved());
    this.draw();
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.draw();
    this.onChange();
  }

  get caret() {
    return this.area.selectionStart;
  }

  /** Puts the caret somewhere, and shows it. */
  go(offset, end = offset) {
    const { area } = this;
    area.focus();
    area.setSelectionRange(offset, end);
    const line = this.text.slice(0, offset).split("\n").length - 1, height = this.#lineHeight();
    const top = line * height;
    if (top < area.scrollTop || top > area.scrollTop + area.clientHeight - 3 * height) {
      area.scrollTop = Math.max(0, top - area.clientHeight / 2);
    }
    const box = area.getBoundingClientRect(), y = box.top + top - area.scrollTop;
    if (y < 80 || y > innerHeight - 40) scrollBy(0, y - innerHeight / 2);
    this.#moved();
  }

  /** Marks: `{ from, to, severity }`, ascending. */
  mark(marks) {
    this.#marks = marks;
    this.draw();
  }

  /** Paints the text, its marks and its lines' numbers. */
  draw() {
    const { text } = this, lines = text.split("\n");
    const bad = new Map();
    for (const { from, severity } of this.#marks) {
      const line = text.slice(0, from).split("\n").length;
      if (bad.get(line) !== "error") bad.set(line, severity);
    }
    const numbers = lines.map((_, i) => {
      const number = make("span", { textContent: `${i + 1}` });
      if (bad.has(i + 1)) number.dataset.severity = bad.get(i + 1);
      return number;
    });
    this.gutter.replaceChildren(...numbers);
    this.paint.replaceChildren(...(text.length > MOST_PAINTED ? [text] : pieces(text, this.#marks)), "\n");
    this.#scroll();
  }

  /** Opens what completes at the caret. @param asked by hand: then a single one is taken at once */
  openCompletion(asked) {
    const { area } = this;
    if (area.selectionStart !== area.selectionEnd) return this.closeCompletion();
    this.#choices = this.complete(this.caret, this.text).slice(0, 200);
    this.#chosen = 0;
    if (this.#choices.length === 0) return this.closeCompletion();
    if (asked && this.#choices.length === 1) return this.#take(this.#choices[0]);
    this.list.replaceChildren(...this.#choices.map(({ label, note }, i) => {
      const option = make("li", { id: `completion-${i}` }, [
        make("span", { textContent: label }),
        make("span", { className: "soft", textContent: note ?? "" }),
      ]);
      option.setAttribute("role", "option");
      // Before the field loses the focus.
      option.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        this.#take(this.#choices[i]);
      });
      return option;
    }));
    const { top, left } = this.#place(this.#choices[0].from);
    const room = area.clientWidth - Math.min(340, area.clientWidth);
    this.list.style.top = `${top}px`;
    this.list.style.left = `${Math.max(0, Math.min(left, room))}px`;
    this.list.hidden = false;
    this.#choose(0);
  }

  /** Opens what is open where it belongs now, with what was chosen in it. */
  #placeAgain() {
    const chosen = this.#chosen;
    this.openCompletion(false);
    if (chosen < this.#choices.length) this.#choose(chosen);
  }

  closeCompletion() {
    this.list.hidden = true;
    this.area.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
    if (key === " " && ctrlKey) {
      event.preventDefault();
      return this.openCompletion(true);
    }
    if (!this.list.hidden) {
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[key];
      if (steps !== undefined) {
        event.preventDefault();
        return this.#choose(Math.min(this.#choices.length - 1, Math.max(0, this.#chosen + steps)));
      }
      if ((key === "Enter" && !ctrlKey && !metaKey) || (key === "Tab" && !shiftKey)) {
        event.preventDefault();
        return this.#take(this.#choices[this.#chosen]);
      }
      if (key === "Escape") {
        event.preventDefault();
        // The field keeps the focus: only the list is left.
        event.stopPropagation();
        return this.closeCompletion();
      }
      if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) this.closeCompletion();
    }
    if (key === "Enter" && !ctrlKey && !metaKey && !altKey) {
      // A new line begins where the last one did, deeper behind a key without a value.
      const line = this.text.slice(this.text.lastIndexOf("\n", this.caret - 1) + 1, this.caret);
      const indent = /^ */.exec(line)[0] + (/^[^#]*:\s*$/.test(line) ? "  " : "");
      event.preventDefault();
      this.insert(`\n${indent}`);
    }
  }

  /** Writes in place of what is selected, so that it can be undone. */
  insert(text) {
    this.area.focus();
    if (document.execCommand("insertText", false, text)) return;
    this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, "end");
    this.area.dispatchEvent(new Event("input"));
  }

  #take({ insert, from, back = 0 }) {
    this.closeCompletion();
    this.area.setSelectionRange(from, this.caret);
    this.insert(insert);
    if (back > 0) this.area.setSelectionRange(this.caret - back, this.caret - back);
    this.#moved();
  }

  #choose(index) {
    this.#chosen = index;
    for (const [i, option] of [...this.list.children].entries()) {
      option.setAttribute("aria-selected", `${i === index}`);
      if (i === index) option.scrollIntoView({ block: "nearest" });
    }
    this.area.setAttribute("aria-activedescendant", `completion-${index}`);
    this.onCaret(this.#choices[index]);
  }

  #moved() {
    this.onCaret();
  }

  #scroll() {
    const { scrollTop, scrollLeft } = this.area;
    this.paint.style.transform = `translate(${-scrollLeft}px, ${-scrollTop}px)`;
    this.gutter.style.transform = `translateY(${-scrollTop}px)`;
  }

  #lineHeight() {
    return parseFloat(getComputedStyle(this.area).lineHeight);
  }

  /** Where a place of the text is in the field, below its line. */
  #place(offset) {
    const before = this.text.slice(0, offset), style = getComputedStyle(this.area);
    const context = (this.canvas ??= document.createElement("canvas")).getContext("2d");
    context.font = `${style.fontSize} ${style.fontFamily}`;
    const line = before.split("\n").length, column = before.slice(before.lastIndexOf("\n") + 1);
    return {
      top: line * this.#lineHeight() + parseFloat(style.paddingTop) - this.area.scrollTop,
      left: context.measureText(column).width + parseFloat(style.paddingLeft) - this.area.scrollLeft,
    };
  }
}

/** A text in pieces: keys, comments, and what is marked. */
function pieces(text, marks) {
  const cuts = new Map([[0, ""]]);
  const kinds = [];
  let at = 0;
  for (const line of text.split("\n")) {
    const key = /^(\s*(?:- )*)([\w.*-]+)(?=:(?:\s|$))/.exec(line);
    if (key !== null) kinds.push([at + key[1].length, at + key[0].length, "key"]);
    const comment = /(^|\s)#.*$/.exec(line);
    if (comment !== null) kinds.push([at + comment.index + comment[1].length, at + line.length, "comment"]);
    at += line.length + 1;
  }
  for (const [from, to] of kinds) cuts.set(from, "").set(to, "");
  for (const { from, to } of marks) cuts.set(from, "").set(to, "");
  const places = [...cuts.keys(), text.length].sort((a, b) => a - b);
  let kind = 0;
  return places.slice(0, -1).flatMap((from, i) => {
    const to = places[i + 1];
    if (to <= from) return [];
    while (kind < kinds.length && kinds[kind][1] <= from) kind++;
    const name = kind < kinds.length && kinds[kind][0] <= from ? kinds[kind][2] : "";
    const mark = marks.find((mark) => mark.from <= from && to <= mark.to);
    if (name === "" && mark === undefined) return [text.slice(from, to)];
    const piece = make("span", { className: name, textContent: text.slice(from, to) });
    if (mark !== undefined) piece.dataset.severity = mark.severity;
    return [piece];
  });
}
