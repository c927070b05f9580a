/** What the recipes' JSON Schema says of a place: its description, and what may be written there. */

/** Schemas that a path leads to, one for each form that a value may have. */
export function schemasAt(schema, path) {
  let nodes = formsOf(schema);
  for (const key of path) {
    nodes = nodes.flatMap((node) => {
      if (key === "*") return node.items === undefined ? [] : formsOf(node.items);
      const inner = node.properties?.[key] ??
        (typeof node.additionalProperties === "object" ? node.additionalProperties : undefined);
      return inner === undefined ? [] : formsOf(inner);
    });
  }
  return nodes;
}

/** A schema and, where it has several forms, all of them; what is said of all is said of each. */
function formsOf(node) {
  if (node.anyOf === undefined) return [node];
  const { anyOf, ...common } = node;
  return anyOf.flatMap((form) => formsOf({ ...common, ...form }));
}

/** What may be written at a place: keys that the map has not yet, or values. */
export function suggest(schema, { path, kind, keys, prefix, flow, indent, item = false }) {
  const found = new Map();
  const add = (label, entry) => {
    if (!found.has(label)) found.set(label, { label, ...entry });
  };
  for (const node of schemasAt(schema, path)) {
    if (kind === "key" || item) {
      for (const [key, inner] of Object.entries(node.properties ?? {})) {
        if (keys.has(key)) continue;
        const forms = formsOf(inner);
        const deep = forms.every((form) => form.properties !== undefined);
        const insert = !deep ? `${key}: ` : flow ? `${key}: {  }` : `${key}:\n${" ".repeat(indent + 2)}`;
        add(key, { insert, back: deep && flow ? 2 : 0, note: typeOf(inner), description: inner.description });
      }
    }
    if (kind === "value") {
      const values = [
        ...node.enum ?? [],
        ...node.const === undefined ? [] : [node.const],
        ...node.type === "boolean" ? [true, false] : [],
      ];
      if (node.default !== undefined && typeof node.default !== "object") values.push(node.default);
      for (const value of values) {
        const isDefault = value === node.default;
        add(`${value}`, {
          insert: `${value}`,
          back: 0,
          note: isDefault ? "default" : "",
          description: node.description,
        });
      }
    }
  }
  const typed = prefix.toLowerCase();
  const begins = ({ label }) => label.toLowerCase().startsWith(typed);
  const all = [...found.values()].filter(({ label }) => label.toLowerCase().includes(typed));
  return [...all.filter(begins), ...all.filter((each) => !begins(each))];
}

/** What a value may be, in a few words. */
export function typeOf(node) {
  const forms = formsOf(node).map((form) => {
    if (form.enum !== undefined) return form.enum.join(", ");
    if (form.const !== undefined) return `${form.const}`;
    if (form.properties !== undefined) return "map";
    const kind =
      { integer: "whole number", number: "number", boolean: "true, false", string: "text", array: "list" }[form.type];
    if (kind === undefined) return "";
    const { minimum, maximum } = form;
    return minimum !== undefined && maximum !== undefined ? `${kind} from ${minimum} to ${maximum}` : kind;
  });
  return [...new Set(forms.filter((form) => form !== ""))].join(", or ");
}

/** What is known of the key at a path. */
export function describe(schema, path) {
  const [node] = path.length === 0 ? [] : schemasAt(schema, path);
  if (node === undefined) return undefined;
  const holders = schemasAt(schema, path.slice(0, -1));
  const whole = holders.map(({ properties }) => properties?.[path.at(-1)]).find((each) => each !== undefined) ?? node;
  const standard = whole.default ?? node.default;
  return {
    description: whole.description ?? node.description,
    type: typeOf(whole),
    standard: standard === undefined ? undefined : typeof standard === "string" ? standard : JSON.stringify(standard),
  };
}
