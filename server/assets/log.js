/** The log: lines made of events, of which only the visible ones exist. It is read when it comes into sight. */
import { line } from "./words.js";

const LINE = 20, PAGE = 5000, MORE = 10;

export class Log {
  #box;
  #inner;
  #field;
  #follow;
  #lines = [];
  #shown = [];
  #waiting = [];
  #began;

  constructor(section) {
    this.#box = section.querySelector("[data-log]");
    this.#inner = this.#box.firstElementChild;
    this.#field = section.querySelector("[data-log-filter]");
    this.#follow = section.querySelector("[data-follow]");
    this.#box.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.#field.addEventListener("input", () => this.#filter());
    // Who scrolls up reads, and is left there.
    this.#box.addEventListener("wheel", ({ deltaY }) => deltaY < 0 && (this.#follow.checked = false), {
      passive: true,
    });
    new ResizeObserver(() => this.#draw()).observe(this.#box);
  }

  /** Reads events up to a place of the journal once the log is seen. */
  open(address, position) {
    const watcher = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting) return;
      watcher.disconnect();
      this.#load(address, position);
    }, { rootMargin: "300px" });
    watcher.observe(this.#box);
  }

  async #load(address, position) {
    for (let after = 0; after < position;) {
      const answer = await fetch(`${address}/events?after=${after}&until=${position}&most=${PAGE}`);
      if (!answer.ok) break;
      const { position: next, events } = await answer.json();
      for (const event of events) this.#take(event);
      if (next === after || events.length === 0) break;
      after = next;
      this.#filter();
    }
    const late = this.#waiting;
    this.#waiting = undefined;
    for (const event of late) this.#take(event);
    this.#filter();
  }

  add(event) {
    if (this.#waiting !== undefined) return this.#waiting.push(event);
    this.#take(event);
    this.#filter();
  }

  #take(event) {
    this.#began ??= event.at;
    const words = line(event);
    if (words === undefined) return;
    const at = (event.at - this.#began) / 1000;
    const time = `${Math.floor(at / 3600)}:${`${Math.floor(at / 60) % 60}`.padStart(2, "0")}:${
      (at % 60).toFixed(1).padStart(4, "0")
    }`;
    this.#lines.push({ level: words[0], text: words[1], time });
  }

  #filter() {
    const words = this.#field.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    this.#shown = words.length === 0
      ? this.#lines
      : this.#lines.filter(({ text }) => words.every((word) => text.toLowerCase().includes(word)));
    this.#inner.style.height = `${this.#shown.length * LINE}px`;
    if (this.#follow.checked) this.#box.scrollTop = this.#box.scrollHeight;
    this.#draw();
  }

  #draw() {
    const from = Math.max(0, Math.floor(this.#box.scrollTop / LINE) - MORE);
    const to = Math.min(this.#shown.length, Math.ceil((this.#box.scrollTop + this.#box.clientHeight) / LINE) + MORE);
    this.#inner.replaceChildren(
      ...this.#shown.slice(from, to).map(({ level, text, time }, i) => {
        const row = document.createElement("p"), stamp = document.createElement("span");
        row.dataset.level = level;
        row.style.top = `${(from + i) * LINE}px`;
        stamp.textContent = `${time}  `;
        row.append(stamp, text);
        return row;
      }),
    );
  }
}
