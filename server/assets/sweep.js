/** A sweep: its leaderboard and its plots point at each other. */
import { onKey, replaceParts } from "./app.js";
import { sortable, walkable } from "./table.js";

const form = document.querySelector("[data-leaderboard]");
if (form !== null) {
  const table = form.querySelector("table"), button = form.querySelector("[data-compare]");
  const rows = new Map([...table.tBodies[0].rows].map((row) => [row.dataset.label, row]));
  const dots = [];
  for (const dot of document.querySelectorAll("[data-plots] [data-mark=dot] circle")) {
    const title = dot.querySelector("title")?.textContent ?? "";
    const label = [...rows.keys()].filter((each) =>
      title.startsWith(`${each}: `)
    ).sort((a, b) => b.length - a.length)[0];
    if (label === undefined) continue;
    dots.push({ dot, label });
    dot.classList.add("dot");
    dot.addEventListener("pointerenter", () => mark(label, true));
    dot.addEventListener("pointerleave", () => mark(label, false));
    dot.addEventListener("click", () => {
      const box = rows.get(label).querySelector("input");
      if (box !== null) box.click();
      rows.get(label).scrollIntoView({ block: "nearest" });
    });
  }
  /** Shows a point in the table and in every plot. */
  const mark = (label, on) => {
    rows.get(label)?.classList.toggle("marked", on);
    for (const each of dots) if (each.label === label) each.dot.classList.toggle("marked", on);
  };
  for (const [label, row] of rows) {
    for (
      const [kind, on] of [["pointerenter", true], ["focusin", true], ["pointerleave", false], ["focusout", false]]
    ) {
      row.addEventListener(kind, () => mark(label, on));
    }
  }
  const refresh = () => {
    const count = form.querySelectorAll("input:checked").length;
    button.disabled = count < 2;
    button.textContent = count === 0 ? "Compare" : `Compare ${count}`;
    for (const { dot, label } of dots) {
      dot.classList.toggle("chosen", rows.get(label).querySelector("input")?.checked === true);
    }
  };
  form.addEventListener("change", refresh);
  refresh();
  const sorting = sortable(table);
  walkable(table);
  onKey("s", sorting.next);
  onKey("c", () => button.disabled ? false : form.requestSubmit(button));
}

// A sweep that goes on is shown as it is by now, unless that would lose what is selected.
const going = document.querySelector("[data-going]");
if (going !== null) {
  const address = going.dataset.going, part = going.dataset.running;
  const states = async () => {
    const answer = await fetch(address).catch(() => undefined);
    return answer?.ok ? JSON.stringify((await answer.json()).points.map(({ state }) => state)) : undefined;
  };
  const before = await states();
  setInterval(async () => {
    if (document.hidden) return;
    const running = await fetch(part).catch(() => undefined);
    if (running?.ok) replaceParts(await running.text());
    if (document.querySelector("input:checked")) return;
    const now = await states();
    if (now !== undefined && now !== before) location.reload();
  }, 3000);
}
