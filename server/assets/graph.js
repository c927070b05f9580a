/**
 * Steps as a graph: a lane for each kind of step, a column for each block. Drawn on a canvas of the visible part, so that ten thousand steps
 * scroll as ten do.
 */

const LANE = 22, HEAD = 22, GAP = 3, LEAST = 11, MOST_CELL = 56;
/** Graphs of so many steps show all their edges; larger ones those of the selected step. */
const EDGES = 260;

/** Where each step stands: lanes by name, columns by block; steps without a block before or behind their lane's. */
export function arrange(steps) {
  const lanes = new Map(), lone = [];
  for (const [at, step] of steps.entries()) {
    if (step.block === undefined) {
      lone.push([at, step]);
      continue;
    }
    const name = step.id.replace(/\[\d+\]$/, "");
    if (!lanes.has(name)) lanes.set(name, { name, stage: step.stage, first: at, cells: new Map() });
    lanes.get(name).cells.set(step.block, step);
  }
  const common = (a, b) => {
    const [x, y] = [a.split("."), b.split(".")];
    let count = 0;
    while (count < x.length && x[count] === y[count]) count++;
    return count;
  };
  for (const [at, step] of lone) {
    const near = [...lanes.values()].filter(({ stage, single }) => stage === step.stage && !single)
      .sort((a, b) => common(b.name, step.id) - common(a.name, step.id));
    const free = near.map((lane) => [lane, at < lane.first ? "before" : "behind"])
      .find(([lane, side]) => lane[side] === undefined);
    if (free !== undefined) free[0][free[1]] = step;
    else {lanes.set(step.id, {
        name: step.id,
        stage: step.stage,
        first: at,
        cells: new Map(),
        behind: step,
        single: true,
      });}
  }
  const stages = [...new Set(steps.map(({ stage }) => stage))];
  const ordered = [...lanes.values()].sort((a, b) =>
    stages.indexOf(a.stage) - stages.indexOf(b.stage) || a.first - b.first
  );
  const blocks = steps.reduce((most, { block = -1 }) => Math.max(most, block), -1) + 1;
  const places = new Map();
  ordered.forEach((lane, y) => {
    if (lane.before) places.set(lane.before.id, { x: 0, y });
    for (const [block, step] of lane.cells) places.set(step.id, { x: block + 1, y });
    if (lane.behind) places.set(lane.behind.id, { x: blocks + 1, y });
  });
  return { lanes: ordered, blocks, places };
}

/** Draws steps, and tells which one is pointed at or selected. */
export class Graph {
  #box;
  #canvas;
  #inner;
  #steps = new Map();
  #users = new Map();
  #at = new Map();
  #layout;
  #cell = LEAST;
  #label = 0;
  #selected;
  #hovered;
  #asked = false;
  #colours;
  onSelect = () => {};

  constructor(box) {
    this.#box = box;
    this.#canvas = box.querySelector("canvas");
    // As wide as all columns; the canvas stays in the visible part of it.
    this.#inner = document.createElement("div");
    this.#canvas.replaceWith(this.#inner);
    this.#inner.append(this.#canvas);
    const redraw = () => this.draw();
    new ResizeObserver(() => this.#measure()).observe(box);
    box.addEventListener("scroll", redraw, { passive: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#colours = undefined;
      redraw();
    });
    box.addEventListener("pointermove", (event) => this.#hover(this.#find(event)));
    box.addEventListener("pointerleave", () => this.#hover(undefined));
    box.addEventListener("click", (event) => {
      const id = this.#find(event);
      if (id !== undefined) this.select(id);
    });
    box.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const move = moves[event.key];
      if (move === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.#walk(...move);
    });
  }

  /** Shows other steps. */
  show(steps) {
    this.#steps = new Map(steps.map((step) => [step.id, step]));
    this.#users = new Map();
    for (const { id, inputs = [] } of steps) {
      for (const input of inputs) this.#users.set(input, [...this.#users.get(input) ?? [], id]);
    }
    this.#layout = arrange(steps);
    this.#at = new Map([...this.#layout.places].map(([id, { x, y }]) => [`${x} ${y}`, id]));
    this.#measure();
  }

  usersOf(id) {
    return this.#users.get(id) ?? [];
  }

  select(id) {
    if (!this.#steps.has(id)) return;
    this.#selected = id;
    const { x } = this.#layout.places.get(id);
    const left = this.#label + x * this.#cell, width = this.#box.clientWidth, seen = this.#box.scrollLeft;
    if (left - this.#label < seen) this.#box.scrollLeft = left - this.#label - this.#cell;
    else if (left + this.#cell > seen + width) this.#box.scrollLeft = left + 2 * this.#cell - width;
    this.draw();
    this.onSelect(id);
  }

  /** Draws anew soon. */
  draw() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#paint();
    });
  }

  #hover(id) {
    if (id === this.#hovered) return;
    this.#hovered = id;
    this.#box.style.cursor = id === undefined ? "" : "pointer";
    const step = this.#steps.get(id);
    this.#box.title = step === undefined ? "" : step.id;
    this.draw();
  }

  #find(event) {
    const { left, top } = this.#canvas.getBoundingClientRect();
    const x = event.clientX - left, y = event.clientY - top;
    if (x < this.#label || this.#layout === undefined) return undefined;
    const column = Math.floor((x - this.#label + this.#box.scrollLeft) / this.#cell),
      lane = Math.floor((y - HEAD) / LANE);
    return this.#at.get(`${column} ${lane}`);
  }

  #walk(right, down) {
    const { places, lanes, blocks } = this.#layout;
    if (this.#selected === undefined) {
      const [first] = places.keys();
      return first === undefined ? undefined : this.select(first);
    }
    let { x, y } = places.get(this.#selected);
    // The next cell that way that has a step; up and down also beside it.
    for (let tries = 0; tries < blocks + lanes.length + 4; tries++) {
      x += right;
      y += down;
      if (x < 0 || x > blocks + 1 || y < 0 || y >= lanes.length) return;
      const here = this.#at.get(`${x} ${y}`);
      if (here !== undefined) return this.select(here);
      if (down === 0) continue;
      for (let aside = 1; aside <= blocks + 1; aside++) {
        const near = this.#at.get(`${x - aside} ${y}`) ?? this.#at.get(`${x + aside} ${y}`);
        if (near !== undefined) return this.select(near);
      }
    }
  }

  #measure() {
    if (this.#layout === undefined) return;
    const { lanes, blocks } = this.#layout;
    const context = this.#canvas.getContext("2d");
    context.font = this.#font();
    const width = this.#box.clientWidth;
    const longest = Math.max(0, ...lanes.map(({ name }) => context.measureText(name).width));
    this.#label = Math.min(longest + 24, Math.max(96, width * 0.36));
    this.#cell = Math.min(MOST_CELL, Math.max(LEAST, Math.floor((width - this.#label - 12) / (blocks + 2))));
    const height = HEAD + lanes.length * LANE + 10;
    const ratio = devicePixelRatio || 1;
    this.#canvas.width = width * ratio;
    this.#canvas.height = height * ratio;
    this.#canvas.style.width = `${width}px`;
    this.#canvas.style.height = `${height}px`;
    const all = this.#label + (blocks + 2) * this.#cell + 12;
    this.#inner.style.width = `${Math.max(all, width)}px`;
    this.draw();
  }

  #font() {
    return `13px ${getComputedStyle(document.body).fontFamily}`;
  }

  #colour(name) {
    if (this.#colours === undefined) {
      const style = getComputedStyle(document.documentElement);
      this.#colours = new Proxy({}, {
        get: (known, name) => known[name] ??= style.getPropertyValue(`--${name}`).trim(),
      });
    }
    return this.#colours[name];
  }

  #paint() {
    if (this.#layout === undefined) return;
    const { lanes, blocks, places } = this.#layout;
    const context = this.#canvas.getContext("2d"), ratio = devicePixelRatio || 1;
    const width = this.#canvas.width / ratio, height = this.#canvas.height / ratio, scrolled = this.#box.scrollLeft;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = this.#font();
    context.textBaseline = "middle";
    const left = (x) => this.#label + x * this.#cell - scrolled;
    const from = Math.max(0, Math.floor(scrolled / this.#cell) - 1);
    const to = Math.min(blocks + 1, Math.ceil((scrolled + width - this.#label) / this.#cell));
    context.save();
    context.beginPath();
    context.rect(this.#label - 2, 0, width - this.#label + 2, height);
    context.clip();
    // Numbers of blocks, as many as there is room for.
    context.fillStyle = this.#colour("soft");
    context.textAlign = "center";
    const every = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((each) => each * this.#cell >= 30) ?? 1000;
    for (let block = 0; block < blocks; block += every) {
      if (block + 1 >= from && block <= to) {
        context.fillText(`${block}`, left(block + 1) + this.#cell / 2, HEAD / 2 + 1);
      }
    }
    if (this.#steps.size <= EDGES) {
      context.globalAlpha = 0.55;
      for (const [id, step] of this.#steps) {
        for (const input of step.inputs ?? []) this.#edge(context, input, id, "quiet", 0.75);
      }
      context.globalAlpha = 1;
    }
    for (let y = 0; y < lanes.length; y++) {
      for (let x = from; x <= to; x++) {
        const id = this.#at.get(`${x} ${y}`);
        if (id !== undefined) this.#cellAt(context, left(x), HEAD + y * LANE, this.#steps.get(id));
      }
    }
    const shown = this.#hovered ?? this.#selected;
    if (shown !== undefined) {
      for (const input of this.#steps.get(shown)?.inputs ?? []) this.#edge(context, input, shown, "text", 1.5);
      for (const user of this.usersOf(shown)) this.#edge(context, shown, user, "text", 1.5);
      for (const id of [shown, this.#selected]) {
        const place = places.get(id);
        if (place === undefined) continue;
        context.strokeStyle = this.#colour("text");
        context.lineWidth = id === this.#selected ? 2 : 1;
        context.strokeRect(left(place.x) + 1, HEAD + place.y * LANE + 1, this.#cell - 2, LANE - 2);
      }
    }
    context.restore();
    context.textAlign = "left";
    context.fillStyle = this.#colour("text");
    for (let y = 0; y < lanes.length; y++) {
      context.fillText(this.#short(context, lanes[y].name), 14, HEAD + y * LANE + LANE / 2 + 1);
    }
  }

  /** A lane's name, cut in its middle where it is too long. */
  #short(context, name) {
    let kept = name;
    while (kept.length > 4 && context.measureText(kept === name ? kept : `${kept}…`).width > this.#label - 22) {
      kept = kept.slice(1);
    }
    return kept === name ? name : `…${kept.slice(1).replace(/^\.+/, "")}`;
  }

  #edge(context, from, to, colour, width) {
    const a = this.#layout.places.get(from), b = this.#layout.places.get(to);
    if (a === undefined || b === undefined) return;
    const point = ({ x, y }) => [
      this.#label + (x + 0.5) * this.#cell - this.#box.scrollLeft,
      HEAD + (y + 0.5) * LANE,
    ];
    const [x1, y1] = point(a), [x2, y2] = point(b);
    context.strokeStyle = this.#colour(colour);
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x1, y1);
    if (x1 === x2) context.lineTo(x2, y2);
    else {
      const bend = Math.min(24, Math.abs(x2 - x1) / 2 + 6);
      context.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
    }
    context.stroke();
  }

  #cellAt(context, x, y, { state }) {
    const inset = GAP, w = this.#cell - GAP, h = LANE - 2 * GAP;
    const box = () => {
      context.beginPath();
      context.roundRect(x + inset / 2, y + inset, w, h, 2);
    };
    const fill = { done: "good", running: "accent", failed: "bad" }[state];
    box();
    context.fillStyle = this.#colour(fill ?? "card");
    context.fill();
    if (fill === undefined) {
      context.strokeStyle = this.#colour(state === "cached" ? "good" : "line");
      context.lineWidth = state === "cached" ? 1.5 : 1;
      context.setLineDash(state === "skip" ? [2, 2] : []);
      context.stroke();
      context.setLineDash([]);
      if (state !== "cached") return;
      context.globalAlpha = 0.25;
      context.fillStyle = this.#colour("good");
      context.fill();
      context.globalAlpha = 1;
    }
    if (state === "failed" || state === "running") {
      context.strokeStyle = context.fillStyle = this.#colour("card");
      context.lineWidth = 1.5;
      const cx = x + inset / 2 + w / 2, cy = y + inset + h / 2, r = Math.min(w, h) / 4;
      context.beginPath();
      if (state === "running") {
        context.arc(cx, cy, r, 0, 7);
        context.fill();
        return;
      }
      context.moveTo(cx - r, cy - r);
      context.lineTo(cx + r, cy + r);
      context.moveTo(cx + r, cy - r);
      context.lineTo(cx - r, cy + r);
      context.stroke();
    }
  }
}
