/** The windows of tokens that calibrate gathers statistics on. */
import type { OutputRef, Step } from "../runner/stage.ts";
import type { CalibrationDataset } from "./dataset_schema.ts";
import { storeWindows, type Windows } from "./hidden_states.ts";
import type { Planning } from "./planning.ts";
import type { TextRequest } from "./tools/text.ts";

/** What windows are made of. */
export interface WindowSettings {
  readonly dataset: CalibrationDataset;
  readonly samples: number;
  readonly length: number;
  readonly seed: number;
  /** So many further windows. Default: none. */
  readonly held_out?: number;
}

/** The text of a stage. */
export function calibrationText(
  name: string,
  { dataset, samples, length, seed, held_out: heldOut = 0 }: WindowSettings,
): TextRequest {
  const expected = { windows: samples, length };
  return {
    id: name,
    name: "calibration",
    path: `stages.${name}`,
    dataset,
    split: "calibration",
    samples,
    length,
    seed,
    ...(heldOut > 0 ? { heldOut } : {}),
    expected,
  };
}

/**
 * The step that makes the windows.
 *
 * @param to its output; the stage's name is what comes before the dot of the step's
 */
export function calibrationWindows(planning: Planning, settings: WindowSettings, to: OutputRef): Step {
  const name = to.step.slice(0, to.step.indexOf(".")), path = (key: string) => `stages.${name}.${key}`;
  const request = calibrationText(name, settings), { dataset, held_out: heldOut = 0 } = settings;
  const { tools, code } = planning.use(import.meta.url, ["text"]);
  // Stored windows are taken in order, unless the recipe has them drawn.
  const drawn = typeof dataset === "string" || "text" in dataset || dataset.shuffle === true;
  return {
    id: to.step,
    stage: name,
    code,
    reads: [
      ...[path("samples"), path("length")],
      ...(drawn ? [path("seed")] : []),
      ...(heldOut > 0 ? [path("held_out")] : []),
    ],
    facts: { text: planning.text(name).identity },
    inputs: {},
    outputs: { [to.output]: { retain: "keep", bytes: 4 * (settings.samples + heldOut) * settings.length } },
    estimate: { seconds: 0.5, memory: 2e8 },
    early: true,
    async run(context) {
      const windows = await tools.text.windows(request, context.signal);
      warnOfEqualWindows(windows, planning.warn, path);
      await storeWindows(context.output(to.output), windows);
      context.output(to.output).value(windows.facts);
    },
  };
}

/** Warns in one line where windows repeat others: they say no more than one of them. */
export function warnOfEqualWindows(
  { ids, windows, length }: Pick<Windows, "ids" | "windows" | "length">,
  warn: (message: string) => void,
  path: (key: string) => string,
): void {
  const different = new Set(
    Array.from({ length: windows }, (_, i) => ids.subarray(i * length, (i + 1) * length).join()),
  ).size;
  if (different === windows) return;
  warn(
    `${windows - different} of ${windows} calibration windows only repeat others: the text is short for ` +
      `${path("samples")} ${windows} of ${path("length")} ${length}`,
  );
}
