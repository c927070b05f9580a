/** How far what a step made is from what a lock's run made: as far as the original is still there, in numbers. */
import type { PackedCheckpoint } from "../checkpoints/packed/open.ts";
import { formatOf, fromRecord } from "../checkpoints/packed/formats.ts";
import { isObject, type Json } from "../files/json.ts";
import { type Tensor, toFloat32 } from "../files/safetensors.ts";
import type { ArtifactCache } from "../runner/cache/cache.ts";
import type { Node } from "../runner/graph.ts";
import { outputKey } from "../runner/keys.ts";
import type { ArtifactReader } from "../runner/stage.ts";
import { hashTensor, placeOf, type StepHashes, VALUE } from "../runner/step_hashes.ts";

/** The first thing of a step that differs. */
export interface Divergence {
  readonly step: string;
  /** Output and tensor, as people name them: `layers model.layers.0.mlp.up_proj (mask, scales)`. */
  readonly tensor: string;
  /** Largest difference of two entries, how many differ, and of how many; absent where the original is not there. */
  readonly max?: number;
  readonly differing?: number;
  readonly of?: number;
  /** What the numbers are of, where that is not the tensor itself. */
  readonly measured?: string;
  /** Why there are no numbers, or what they do not say. */
  readonly note?: string;
}

/** Where the originals may still be. */
export interface Originals {
  /** A cache that the run may have filled. */
  readonly cache?: ArtifactCache;
  /** The run's packed model. */
  readonly packed?: PackedCheckpoint;
}

interface Numbers {
  readonly max: number;
  readonly differing: number;
  readonly of: number;
}

/**
 * Describes a difference that `differences` found.
 *
 * @param names of the output's tensors that differ, in order
 * @param options `cache`: where what was made now lies
 */
export async function describeDivergence(
  { output, names }: { readonly output: string; readonly names: readonly string[] },
  { node, locked, cache, originals }: {
    readonly node: Node;
    readonly locked: StepHashes;
    readonly cache: ArtifactCache;
    readonly originals: Originals;
  },
): Promise<Divergence> {
  const step = node.step.id, [name] = names;
  const key = node.outputs[output];
  if (key === undefined || !cache.has(key)) {
    return { step, tensor: output, note: "this step no longer has such an output" };
  }
  const made = cache.read(key), before = locked.outputs[output];
  const old = originalReader(outputKey(locked.key, output), originals);
  if (name === VALUE) {
    return { step, tensor: `${output}, its result`, ...valueNumbers(before.value ?? old?.value, made.value) };
  }
  const { file, tensor } = placeOf(name), stem = file.replace(/\.safetensors$/, "");
  const layer = headerOf(made, stem);
  if (layer !== undefined) {
    const planes = names.filter((each) => placeOf(each).file === file).flatMap((each) => placeOf(each).tensor ?? []);
    const now = await decode(made, stem, file);
    const then = originals.packed?.layers.has(stem)
      ? await originals.packed.read(`${stem}.weight`)
      : old && headerOf(old, stem)
      ? await decode(old, stem, file)
      : undefined;
    return {
      ...{ step, tensor: `${output} ${stem}${planes.length > 0 ? ` (${planes.join(", ")})` : ""}` },
      ...(then === undefined ? MISSING : { ...compare(then, now), measured: "weights as they decode" }),
    };
  }
  const tensors = await made.read(file), which = tensor ?? Object.keys(tensors)[0];
  const described = { step, tensor: `${output} ${stem}${tensor === undefined ? "" : ` ${tensor}`}` };
  if (old === undefined || !old.files.includes(file)) return { ...described, ...MISSING };
  const original = (await old.read(file))[which], now = tensors[which];
  if (original === undefined || now === undefined) return { ...described, note: "only one of the two runs has it" };
  // A cache may hold what another run made under the same key.
  const hash = tensor === undefined ? hashOfFile(originals, old.key, file) : await hashTensor(original);
  if (hash !== before.tensors[name]) return { ...described, ...MISSING };
  if (`${original.shape}` !== `${now.shape}` || original.dtype !== now.dtype) {
    const shape = ({ dtype, shape }: Tensor) => `${dtype} [${shape.join(", ")}]`;
    return { ...described, note: `it was ${shape(original)} and is ${shape(now)}` };
  }
  return { ...described, ...compare(numbersOf(original), numbersOf(now)) };
}

const MISSING = {
  note: "the original is neither in the run's folder nor in the cache, so how far it is cannot be said",
};

function originalReader(key: string, { cache }: Originals): ArtifactReader | undefined {
  try {
    return cache?.has(key) ? cache.read(key) : undefined;
  } catch {
    // Damaged: as good as gone.
    return undefined;
  }
}

function hashOfFile({ cache }: Originals, key: string, file: string): string | undefined {
  return cache?.manifest(key).files.find(({ name }) => name === file)?.sha256;
}

/** The header of a packed layer in a step's result, where that holds packed layers. */
function headerOf(
  { value }: Pick<ArtifactReader, "value">,
  layer: string,
): Readonly<Record<string, unknown>> | undefined {
  if (!isObject(value) || !isObject(value.headers)) return undefined;
  const header = value.headers[layer];
  return isObject(header) ? header : undefined;
}

async function decode(reader: ArtifactReader, layer: string, file: string): Promise<Float32Array> {
  const info = fromRecord(headerOf(reader, layer) ?? {});
  return await formatOf(info.format).decode({ ...info, tensors: await reader.read(file) });
}

function numbersOf(tensor: Tensor): ArrayLike<number | bigint> {
  return tensor.dtype === "F16" || tensor.dtype === "BF16" ? toFloat32(tensor) : tensor.data;
}

function compare(
  then: ArrayLike<number | bigint>,
  now: ArrayLike<number | bigint>,
): Numbers | { readonly note: string } {
  if (then.length !== now.length) return { note: `it had ${then.length} entries and has ${now.length}` };
  let max = 0, differing = 0;
  for (let i = 0; i < then.length; i++) {
    if (then[i] === now[i]) continue;
    differing++;
    max = Math.max(max, Math.abs(Number(then[i]) - Number(now[i])));
  }
  return { max, differing, of: then.length };
}

/** Numbers of two results, entry by entry. */
function valueNumbers(then: Json | undefined, now: Json): Numbers | { readonly note: string } {
  if (then === undefined) return MISSING;
  const [before, after] = [leaves(then), leaves(now)];
  const text = [...before].find(([path, value]) => typeof value !== "number" && value !== after.get(path));
  if (text !== undefined) return { note: `${text[0]} was ${text[1]} and is ${after.get(text[0]) ?? "not there"}` };
  const paths = [...before.keys()];
  return compare(paths.map((path) => Number(before.get(path))), paths.map((path) => Number(after.get(path) ?? NaN)));
}

function leaves(value: Json, path = ""): Map<string, unknown> {
  if (typeof value !== "object" || value === null) return new Map([[path === "" ? "it" : path, value]]);
  return new Map(
    Object.entries(value).flatMap(([name, inner]) => [...leaves(inner, path === "" ? name : `${path}.${name}`)]),
  );
}
