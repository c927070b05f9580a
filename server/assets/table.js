/** Tables whose rows are filtered, sorted and walked through with the keyboard. */
import { onKey } from "./app.js";

const number = (text) => text === "" ? NaN : Number(text);

/** Sorts by what cells hold in `data-value`; what has none comes last either way. */
export function sortable(table, changed = () => {}) {
  const heads = () => [...table.tHead.rows[0].cells];
  const sort = (head, order) => {
    for (const each of heads()) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const place = heads().indexOf(head), sign = order === "ascending" ? 1 : -1;
    const value = (row) => row.cells[place]?.dataset.value ?? row.cells[place]?.textContent.trim() ?? "";
    const rows = [...table.tBodies[0].rows];
    const words = rows.some((row) => value(row) !== "" && Number.isNaN(number(value(row))));
    const compare = (a, b) => {
      if (a === "" || b === "") return Number(a === "") - Number(b === "");
      return sign * (words ? a.localeCompare(b, undefined, { numeric: true }) : number(a) - number(b));
    };
    table.tBodies[0].append(...rows.toSorted((a, b) => compare(value(a), value(b))));
    changed();
  };
  /** Sorts as it is said to be sorted. */
  const again = () => {
    const head = heads().find((each) => each.hasAttribute("aria-sort"));
    if (head !== undefined) sort(head, head.getAttribute("aria-sort"));
  };
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("button")?.closest("th");
    if (!head) return;
    const words = head.classList.contains("words");
    const now = head.getAttribute("aria-sort");
    sort(head, now === null ? (words ? "ascending" : "descending") : now === "ascending" ? "descending" : "ascending");
  });
  return {
    again,
    next: () => {
      const shown = heads().filter((each) => each.querySelector("button") && each.offsetParent !== null);
      const at = shown.findIndex((each) => each.hasAttribute("aria-sort"));
      shown[(at + 1) % shown.length]?.querySelector("button").click();
    },
  };
}

/** Rows that are shown, in their order. */
const shown = (table) => [...table.tBodies[0].rows].filter((row) => !row.hidden);

/** Keys that walk through rows, open and select them. */
export function walkable(table) {
  const current = () => table.querySelector("tr[data-current]");
  const go = (step) => {
    const rows = shown(table), at = rows.indexOf(current());
    const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1)];
    if (next === undefined) return;
    current()?.removeAttribute("data-current");
    next.setAttribute("data-current", "");
    next.querySelector("td a")?.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  // A link that has the focus is the current row's.
  table.addEventListener("focusin", (event) => {
    const row = event.target.closest("tbody tr");
    if (!row) return;
    current()?.removeAttribute("data-current");
    row.setAttribute("data-current", "");
  });
  onKey(["j", "ArrowDown"], () => go(1));
  onKey(["k", "ArrowUp"], () => go(-1));
  onKey("x", () => {
    const box = current()?.querySelector("input[type=checkbox]");
    if (!box) return false;
    box.click();
  });
}

/** Hides rows that do not have every word of the field's text. @returns what to call when rows have changed */
export function filterable(table, field, changed) {
  const apply = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    let count = 0;
    for (const row of table.tBodies[0].rows) {
      const text = `${row.textContent} ${row.dataset.id ?? ""}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      count += Number(!row.hidden);
    }
    changed(count, table.tBodies[0].rows.length);
  };
  field.addEventListener("input", apply);
  return apply;
}
