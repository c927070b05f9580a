/** On every page: keys, times as the browser's own, and connections that tell what is new. */

const field = (target) =>
  target instanceof HTMLElement && target.matches("input:not([type=checkbox]), textarea, select");

/** Keys of this page: from a key, or two after each other ("g r"), to what it does. */
const keys = new Map();

/** Gives a key a meaning. What it does is told the event. */
export function onKey(names, act) {
  for (const name of [names].flat()) keys.set(name, act);
}

let before = "";
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape" && field(event.target)) return event.target.blur();
  if (field(event.target) || document.querySelector("dialog[open]")) return;
  const act = keys.get(`${before} ${event.key}`) ?? keys.get(event.key);
  before = event.key;
  if (act === undefined || act(event) === false) return;
  event.preventDefault();
  before = "";
});

const dialog = document.querySelector("[data-keys]");
const showKeys = () => dialog.showModal();
document.querySelector("[data-keys-button]").addEventListener("click", showKeys);
onKey("?", showKeys);
onKey("g r", () => location.assign("/"));
onKey("g e", () => location.assign("/recipes"));
onKey("g c", () => location.assign("/cache"));
onKey("/", () => {
  const filter = document.querySelector("[data-filter]");
  if (filter === null) return false;
  filter.focus();
  filter.select();
});

const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const YEAR = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** Shows times as they are where the reader is. */
export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    const near = date.getFullYear() === new Date().getFullYear();
    time.textContent = (near ? DAY : YEAR).format(date);
    time.title = WHOLE.format(date);
  }
}
localTimes(document);

const link = document.querySelector("[data-link]");

/**
 * Listens to the server, and goes on where it was after any break. A page that nobody sees does not listen: browsers keep few
 * connections to one place.
 *
 * @param address of the stream, without `after`
 * @param start from which id on
 * @param on what to do with each kind of message; `end` ends it
 */
export function listen(address, start, on) {
  let position = start, source, over = false;
  const open = () => {
    if (source !== undefined || over || document.hidden) return;
    source = new EventSource(`${address}?after=${encodeURIComponent(position)}`);
    source.addEventListener("open", () => link.hidden = true);
    source.addEventListener("error", () => {
      link.hidden = false;
      // The browser tries again by itself, unless it was refused.
      if (source?.readyState === EventSource.CLOSED) {
        close();
        setTimeout(open, 3000);
      }
    });
    for (const [kind, act] of Object.entries(on)) {
      source.addEventListener(kind, (message) => {
        if (message.lastEventId !== "") position = message.lastEventId;
        if (kind === "end") {
          over = true;
          close();
        }
        act(message.data === "" ? undefined : kind === "end" ? message.data : JSON.parse(message.data));
      });
    }
  };
  const close = () => {
    source?.close();
    source = undefined;
  };
  document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}

/** Calls `act` soon, and not more often than so; the last call is never lost. */
export function calmly(act, pause) {
  let timer, again = false;
  const call = async () => {
    again = false;
    timer = setTimeout(() => {
      timer = undefined;
      if (again) call();
    }, pause);
    try {
      await act();
    } catch (error) {
      // The server is away, as the bar says; what is new is told when it is back.
      if (!(error instanceof TypeError)) throw error;
    }
  };
  return () => {
    again = true;
    if (timer === undefined) call();
  };
}

const FOCUSABLE = "a, button, summary, input, [tabindex]", SCROLLING = ".scroll, .rows";

/** HTML of the server as elements. */
export function elementsOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Puts new parts of a page in place of old ones of the same name, where they differ; what is unfolded stays so. */
export function replaceParts(html) {
  for (const part of elementsOf(html).querySelectorAll("[data-part]")) {
    const old = document.querySelector(`[data-part="${part.dataset.part}"]`);
    localTimes(part);
    if (old === null || old.innerHTML === part.innerHTML) continue;
    const opened = [...old.querySelectorAll("details")].map((each) => each.open);
    part.querySelectorAll("details").forEach((each, i) => each.open = opened[i] ?? each.open);
    // Who has the focus in it, or has scrolled, stays there.
    const focused = [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
    const scrolled = [...old.querySelectorAll(SCROLLING)].map(({ scrollLeft, scrollTop }) => [scrollLeft, scrollTop]);
    old.replaceWith(part);
    part.querySelectorAll(SCROLLING).forEach((each, i) => each.scrollTo(...scrolled[i] ?? [0, 0]));
    if (focused >= 0) part.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
  }
}
