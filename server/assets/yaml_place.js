/**
 * Where in a recipe a place of its text is: the path of keys that leads there, and whether a key or a value is written. It reads text that
 * is being written, of which no parser makes anything; what it cannot tell it leaves out.
 */

/**
 * @param {string} text of a recipe
 * @param {number} offset of the caret
 * @returns {{ path: string[], kind: "key" | "value", prefix: string, from: number, indent: number, flow: boolean, keys: Set<string> } | undefined}
 *   `path` of the map whose key is written, or of the key whose value is; `*` for an item of a list. `prefix` begins at `from`; `keys` that
 *   the map has already. undefined in comments.
 */
export function placeAt(text, offset) {
  const known = new Map();
  const note = (path, key) => {
    const name = JSON.stringify(path);
    if (!known.has(name)) known.set(name, new Set());
    known.get(name).add(key);
  };
  /** Keys and items that the line is in, the outermost first: `key` undefined where it is an item. */
  let block = [];
  /** Maps and lists in braces that are open. */
  let flow = [];
  let found;
  let start = 0;
  for (const line of text.split("\n")) {
    const end = start + line.length;
    const here = offset >= start && offset <= end;
    const state = { line, start, caret: here ? offset - start : undefined };
    if (flow.length === 0) {
      const opened = openBlock(state, block, note);
      block = opened.block;
      if (here) found = opened.place;
      flow = scanFlow({ ...state, from: opened.rest }, { block, flow, note, tell: (place) => found = place });
    } else flow = scanFlow({ ...state, from: 0 }, { block, flow, note, tell: (place) => found = place });
    start = end + 1;
  }
  if (found === undefined || found.comment) return undefined;
  const { path, prefix } = found;
  const keys = new Set(known.get(JSON.stringify(path)) ?? []);
  // What is being written is not there yet.
  if (found.kind === "key") keys.delete(prefix);
  return { ...found, keys };
}

const KEY = /^(?:"([^"]*)"|'([^']*)'|([^\s#'"{}[\],&*!|>%@`-][^#]*?|-[^\s#][^#]*?))\s*:(?=\s|$)/;

/** What a line says outside of braces: items and a key. */
function openBlock({ line, start, caret }, before, note) {
  const content = line.trimStart();
  let column = line.length - content.length;
  if (content === "" || content.startsWith("#")) {
    const place = caret === undefined ? undefined : content !== "" && caret > column ? { comment: true } : placeOf({
      path: pathOf(before.filter(({ indent }) => indent < caret)),
      kind: "key",
      prefix: "",
      from: start + caret,
      indent: caret,
    });
    return { block: before, rest: line.length, place };
  }
  const block = before.filter(({ indent }) => indent < column);
  // A list may stand as deep as its key.
  const holder = before.find(({ indent, key }) => indent === column && key !== undefined);
  if (/^-(\s|$)/.test(content) && holder !== undefined) block.push(holder);
  let rest = line.slice(column);
  const outside = block.length;
  for (let item; (item = /^-(\s+|$)/.exec(rest)) !== null;) {
    block.push({ indent: column, key: undefined });
    column += item[0].length;
    rest = line.slice(column);
  }
  const path = pathOf(block), key = KEY.exec(rest);
  if (key === null) {
    const written = caret === undefined ? "" : line.slice(column, Math.max(column, caret));
    const inList = block.length > outside;
    const place = caret === undefined ? undefined : isComment(written) ? { comment: true } : {
      ...placeOf({ path, kind: inList ? "value" : "key", prefix: written, from: start + column, indent: column }),
      item: inList,
    };
    return { block, rest: column, place };
  }
  const name = key[1] ?? key[2] ?? key[3];
  note(path, name);
  const after = column + key[0].length, valueAt = after + /^\s*/.exec(line.slice(after))[0].length;
  const opened = [...block, { indent: column, key: name }];
  let place;
  if (caret !== undefined) {
    place = caret < after
      ? placeOf({
        path,
        kind: "key",
        prefix: line.slice(column, Math.max(column, caret)),
        from: start + column,
        indent: column,
      })
      : placeOf({
        path: pathOf(opened),
        kind: "value",
        prefix: line.slice(Math.min(valueAt, caret), caret),
        from: start + Math.min(valueAt, caret),
        indent: column,
      });
    if (caret >= after && isComment(line.slice(after, caret))) place = { comment: true };
  }
  return { block: opened, rest: valueAt, place };
}

/** Follows braces through a line. */
function scanFlow({ line, start, caret, from }, { block, flow: before, note, tell }) {
  const flow = before.map((each) => ({ ...each }));
  let token = from;
  const base = pathOf(block);
  const pathHere =
    () => [...base, ...flow.flatMap(({ kind, key }) => kind === "[" ? ["*"] : key === undefined ? [] : [key])];
  const report = () => {
    const top = flow.at(-1);
    if (top === undefined) return;
    const lead = /^\s*/.exec(line.slice(token, caret))[0].length, at = token + lead;
    const isValue = top.kind === "[" || top.key !== undefined;
    tell({
      path: pathHere(),
      kind: isValue ? "value" : "key",
      prefix: line.slice(at, caret),
      from: start + at,
      indent: 0,
      flow: true,
    });
  };
  for (let at = from; at < line.length; at++) {
    if (at === caret) report();
    const letter = line[at];
    if (letter === "#" && (at === 0 || /\s/.test(line[at - 1]))) {
      if (caret !== undefined && caret > at) tell({ comment: true });
      return flow;
    }
    if (letter === '"' || letter === "'") {
      const close = line.indexOf(letter, at + 1);
      if (close < 0) break;
      if (caret !== undefined && caret > at && caret <= close) report();
      at = close;
      continue;
    }
    const top = flow.at(-1);
    if (letter === "{" || letter === "[") {
      // Braces begin a value, and stand inside of no plain word.
      if (top === undefined && line.slice(from, at).trim() !== "") return flow;
      flow.push({ kind: letter, key: undefined });
      token = at + 1;
    } else if (top === undefined) return flow;
    else if (letter === "}" || letter === "]") {
      flow.pop();
      token = at + 1;
    } else if (letter === ",") {
      top.key = undefined;
      token = at + 1;
    } else if (letter === ":" && top.kind === "{" && top.key === undefined && /[\s,}]|^$/.test(line[at + 1] ?? "")) {
      const name = line.slice(token, at).trim().replaceAll(/^["']|["']$/g, "");
      note(pathHere(), name);
      top.key = name;
      token = at + 1;
    }
  }
  if (caret === line.length) report();
  return flow;
}

function placeOf({ path, kind, prefix, from, indent }) {
  return { path, kind, prefix, from, indent, flow: false };
}

function pathOf(block) {
  return block.map(({ key }) => key ?? "*");
}

function isComment(text) {
  return /(^|\s)#/.test(text);
}
