/** What a step hands to the cache when it has ended well. */
import { type KeyComponents, outputKey } from "../keys.ts";
import type { Draft } from "./artifact.ts";
import type { Patience } from "./checked_files.ts";
import type { Manifest } from "./manifest.ts";

/** What a step that has ended well publishes. */
export interface Publication {
  readonly stepKey: string;
  readonly components: KeyComponents;
  readonly step: string;
  readonly stage: string;
  readonly model: string;
  readonly seconds: number;
  readonly stages: Readonly<Record<string, number>>;
  readonly estimate: number;
  /** The mirror that the outputs were fetched from; its maker's seconds are the step's. */
  readonly origin?: string;
  /** Whether other content takes the place of what is there already, as after `--from`. */
  readonly replace?: boolean;
  /** Drafts by output name, with what becomes of them. */
  readonly drafts: Readonly<Record<string, { readonly draft: Draft; readonly retain: "keep" | "transient" }>>;
}

/** What came of a publication. */
export interface Published {
  /** Bytes of all outputs. */
  readonly bytes: number;
  /** Outputs that were there already with other content: the step is not reproducible. */
  readonly different: readonly string[];
}

/**
 * Ends the drafts of a publication and says what they are.
 *
 * @throws {Error} when files are missing or cannot be written
 * @throws the signal's reason when it is aborted
 */
export async function finishDrafts(
  { drafts, replace: _replace, ...about }: Publication,
  patience: Patience,
): Promise<{ readonly manifest: Manifest; readonly draft: Draft }[]> {
  const finished: { manifest: Manifest; draft: Draft }[] = [];
  for (const [output, { draft, retain }] of Object.entries(drafts)) {
    const manifest: Manifest = {
      format: 1,
      key: outputKey(about.stepKey, output),
      ...about,
      output,
      retain,
      created: Date.now(),
      ...await draft.finish(patience),
    };
    finished.push({ manifest, draft });
  }
  return finished;
}
