/** A run's progress on the terminal: a task list that is redrawn, plain lines, or events for programs. */
import process from "node:process";
import { Listr, ListrDefaultRendererLogLevels, type ListrTask, type ListrTaskWrapper } from "listr2";
import type { RunEvent } from "../runner/events.ts";
import { describeDevice, describeReason, describeTrouble } from "../report/reasons.ts";
import { RunTracker, type StageView } from "../runner/run_view.ts";
import { formatBytes, formatSeconds } from "../report/numbers.ts";
import { fitText } from "../files/text_width.ts";
import { wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

/** Shows a run's events until it ends. */
export interface Progress {
  onEvent(event: RunEvent): void;
  /** Leaves the terminal as it should be, and prints what had to wait. */
  close(): Promise<void>;
}

/** Prints each event as one line of JSON. */
export function jsonProgress(terminal: Terminal): Progress {
  return {
    onEvent: (event) => terminal.line(JSON.stringify(event)),
    close: () => Promise.resolve(),
  };
}

/** How one of several runs is shown. */
interface Part {
  /** Whether what it runs on is left to the whole that it is part of. */
  readonly brief?: boolean;
  /** What its lines begin with. */
  readonly prefix?: string;
}

/** Prints one line for each step that ends. */
export function plainProgress(terminal: Terminal, { brief = false, prefix = "" }: Part = {}): Progress {
  const tracker = new RunTracker();
  return {
    onEvent: (event) => {
      tracker.follow(event);
      const { done, total, left = 0 } = tracker.view(event.at);
      if (event.type === "run-started") {
        if (!brief) { for (const line of introduce(event, terminal.width)) terminal.line(line); }
      } else if (event.type === "step-finished") {
        const rest = done < total ? `, about ${formatSeconds(left)} left` : "";
        const from = event.from === undefined ? "" : `  from ${event.from}`;
        const text = `${prefix}${event.step}  ${
          formatSeconds(event.seconds)
        }${from}  (${done} of ${total} steps${rest})`;
        for (const line of wrapText(text, terminal.width, "    ")) terminal.line(line);
      } else for (const line of remark(event)) terminal.note(prefix + line);
    },
    close: () => Promise.resolve(),
  };
}

/** Keeps a list of stages up to date, with the time that is left. */
export function liveProgress(terminal: Terminal, { brief = false }: Part = {}): Progress {
  // The list writes by itself: where its terminal is closed meanwhile, SIGHUP says so.
  process.stdout.on("error", () => {});
  const tracker = new RunTracker();
  const waiting: string[] = [];
  let list: Promise<unknown> = Promise.resolve();
  let redraw = () => {};
  let end = () => {};
  return {
    onEvent: (event) => {
      tracker.follow(event);
      waiting.push(...remark(event));
      if (event.type === "run-started") {
        if (!brief) { for (const line of introduce(event, terminal.width)) terminal.line(line); }
        if (event.steps.some(({ state }) => state === "run" || state === "fetch")) {
          [list, redraw, end] = drawList(tracker, terminal);
        }
      } else redraw();
    },
    close: async () => {
      end();
      await list;
      for (const line of waiting) terminal.note(line);
    },
  };
}

const uncoloured = Object.fromEntries(
  Object.values(ListrDefaultRendererLogLevels).map((level) => [level, (text?: string) => text ?? ""]),
);

/** A task of the list ends when its stage is done or the run is over. */
function drawList(tracker: RunTracker, terminal: Terminal): [Promise<unknown>, () => void, () => void] {
  const names = tracker.view(Date.now()).stages.map(({ stage }) => stage);
  const tasks = new Map<string, ListrTaskWrapper<unknown, never, never>>();
  const settle = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();
  const stageTasks: ListrTask[] = names.map((name) => ({
    title: name,
    task: (_context, task) => {
      tasks.set(name, task as unknown as ListrTaskWrapper<unknown, never, never>);
      return new Promise<void>((resolve, reject) => {
        settle.set(name, { resolve, reject });
        redraw();
      });
    },
  }));
  const listr = new Listr(stageTasks, {
    concurrent: true,
    exitOnError: false,
    renderer: "default",
    // Ctrl-C is the run's own affair.
    registerSignalListeners: false,
    rendererOptions: { showErrorMessage: false, ...(terminal.colour ? {} : { color: uncoloured }) },
  });
  const redraw = () => {
    const view = tracker.view(Date.now());
    const last = view.stages.findLast(({ now }) => now !== undefined)?.stage;
    for (const stage of view.stages) {
      const task = tasks.get(stage.stage);
      if (!task) continue;
      const left = stage.stage === last && view.left !== undefined ? `, about ${formatSeconds(view.left)} left` : "";
      task.title = fitText(titleOf(stage) + left, terminal.width - 4);
      if (stage.failed) settle.get(stage.stage)?.reject(new Error(stage.stage));
      else if (stage.done === stage.total) settle.get(stage.stage)?.resolve();
    }
  };
  const clock = setInterval(redraw, 500);
  const end = () => {
    clearInterval(clock);
    redraw();
    // What is not done by now will not be: the run was stopped.
    for (const { reject } of settle.values()) reject(new Error("stopped"));
  };
  return [listr.run().catch(() => undefined), redraw, end];
}

/** `calibrate      3/6  block 3: windows 12/32`. */
function titleOf({ stage, done, total, cached, fetched, now, seconds }: StageView): string {
  const count = `${done}/${total}`;
  const parts = [stage.padEnd(14), count.padStart(7)];
  const there = fetched > 0 ? "  from the mirror" : "  cached";
  if (done === total) parts.push(cached + fetched === total ? there : `  ${formatSeconds(seconds)}`);
  else if (now !== undefined) parts.push(`  ${now}`);
  return parts.join("");
}

function introduce(event: RunEvent & { type: "run-started" }, width: number): string[] {
  const count = (state: string) => event.steps.filter((step) => step.state === state).length;
  const seconds = event.steps.filter(({ state }) => state === "run").reduce((sum, step) => sum + step.seconds, 0);
  const [run, cached, fetched] = [count("run"), count("cached"), count("fetch")];
  const bytes = event.steps.reduce((sum, { fetch }) => sum + (fetch?.bytes ?? 0), 0);
  const mirror = fetched > 0 ? `, ${fetched} from the mirror (${formatBytes(bytes)})` : "";
  return [
    ...wrapText(`${event.recipe}: ${event.model} on ${event.device.kind} (${event.device.name})`, width, "  "),
    ...describeDevice(event.device).flatMap((text) => wrapText(`  ${text}`, width, "    ")),
    ...wrapText(
      `${run} steps to run${mirror}, ${cached} cached${run > 0 ? `, about ${formatSeconds(seconds)}` : ""}`,
      width,
      "  ",
    ),
  ];
}

/** What is worth a line of its own, whatever the display. */
function remark(event: RunEvent): string[] {
  const trouble = describeTrouble(event);
  if (trouble !== undefined) return [`warning: ${trouble}`];
  if (event.type === "step-started" && event.why && event.why.field === "evicted") {
    return [`${event.step} runs again: ${describeReason(event.why)}`];
  }
  return [];
}
