/** The list of runs: it follows what runs do, in whichever process. */
import { calmly, elementsOf, listen, localTimes, onKey, replaceParts } from "./app.js";
import { filterable, sortable, walkable } from "./table.js";

const form = document.querySelector("[data-runs]");
const table = form.querySelector("table");
const body = table.tBodies[0];
const button = form.querySelector("[data-compare]");
const counter = form.querySelector("[data-count]");

const selected = () => [...body.querySelectorAll("input:checked")];
const refresh = () => {
  const count = selected().length;
  button.disabled = count < 2;
  button.textContent = count === 0 ? "Compare" : `Compare ${count}`;
};
const filter = filterable(table, form.querySelector("[data-filter]"), (count, all) => {
  const word = all === 1 ? "run" : "runs";
  counter.textContent = count === all ? `${all} ${word}` : `${count} of ${all} ${word}`;
});
const sorting = sortable(table);
walkable(table);
body.addEventListener("change", refresh);
refresh();
onKey("s", sorting.next);
onKey("c", () => {
  if (selected().length < 2) return false;
  form.requestSubmit(button);
});
onKey("Enter", (event) => {
  if (event.target.closest?.("a, button, summary")) return false;
  const link = table.querySelector("tr[data-current] a");
  if (!link) return false;
  link.click();
});

const changed = new Set();
const update = calmly(async () => {
  const ids = [...changed];
  changed.clear();
  for (let from = 0; from < ids.length; from += 50) {
    const query = new URLSearchParams(ids.slice(from, from + 50).map((id) => ["run", id]));
    const answer = await fetch(`/parts/rows?${query}`);
    if (!answer.ok) continue;
    const rows = elementsOf(`<table><tbody>${await answer.text()}</tbody></table>`).querySelectorAll("tr");
    for (const row of rows) place(row);
  }
  sorting.again();
  filter();
  refresh();
  table.closest(".scroll").hidden = body.rows.length === 0;
  document.querySelector("[data-empty]").hidden = body.rows.length > 0;
}, 400);

/** Puts a row in the place of the old one, with its selection and the focus; a new one on top. */
function place(row) {
  localTimes(row);
  const old = body.querySelector(`tr[data-id="${CSS.escape(row.dataset.id)}"]`);
  if (old === null) return body.prepend(row);
  if (old.innerHTML === row.innerHTML) return;
  row.querySelector("input").checked = old.querySelector("input").checked;
  if (old.hasAttribute("data-current")) row.setAttribute("data-current", "");
  const focused = old.contains(document.activeElement) ? document.activeElement.tagName : undefined;
  old.replaceWith(row);
  if (focused !== undefined) row.querySelector(focused)?.focus({ preventScroll: true });
}

listen("/api/live", form.dataset.position, {
  run: ({ id }) => {
    changed.add(id);
    update();
  },
  gone: ({ id }) => {
    body.querySelector(`tr[data-id="${CSS.escape(id)}"]`)?.remove();
    update();
  },
});

// Points of sweeps are no runs of the list; what became of them is asked for.
setInterval(async () => {
  if (document.hidden) return;
  const answer = await fetch("/parts/sweeps").catch(() => undefined);
  if (answer?.ok) replaceParts(await answer.text());
}, 5000);
