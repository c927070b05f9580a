/** How far what a step made is from what a lock's run made: as far as the original is still there, in numbers. */
import type { PackedCheckpoint } from "../checkpoints/packed/open.ts";
import { formatOf, fromRecord } from "../checkpoints/packed/formats.ts";
import { isObject, type Json } from "../files/json.ts";
import { type Tensor, toFloat32 } from "../files/safetensors.ts";
import type { ArtifactCache } from "../runner/cache/cache.ts";
import type { Node } from "../runner/graph.ts";
import { outputKey } from "../runner/keys.ts";
import type { ArtifactReader } from "../runner/stage.ts";
import { hashTensor, type OutputHashes, placeOf, type StepHashes, VALUE } from "../runner/step_hashes.ts";

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

/** What describes a difference of one output. */
interface Compared {
  readonly output: string;
  /** Of the output's tensors that differ, in order; `VALUE` for its result. */
  readonly names: readonly string[];
  readonly locked: OutputHashes;
  readonly made: ArtifactReader;
  /** What the lock's run made, where a cache may still have it. */
  readonly old: ArtifactReader | undefined;
  readonly originals: Originals;
}

/** A difference, without the step that it is in. */
type Described = Omit<Divergence, "step">;

/**
 * Describes a difference that `differences` found.
 *
 * @param names of the output's tensors that differ, in order
 * @param options `cache`: where what was made now lies
 */
export async function describeDivergence(
  { output, names }: Pick<Compared, "output" | "names">,
  { node, locked, cache, originals }: {
    readonly node: Node;
    readonly locked: StepHashes;
    readonly cache: ArtifactCache;
    readonly originals: Originals;
  },
): Promise<Divergence> {
  const step = node.step.id, key = node.outputs[output];
  if (key === undefined || !cache.has(key)) {
    return { step, tensor: output, note: "this step no longer has such an output" };
  }
  const old = originalReader(outputKey(locked.key, output), originals);
  const compared = { output, names, locked: locked.outputs[output], made: cache.read(key), old, originals };
  if (names[0] === VALUE) return { step, ...describeValue(compared) };
  const { file } = placeOf(names[0]);
  const described = headerOf(compared.made, layerOf(file))
    ? await describeLayer(file, compared)
    : await describeTensor(names[0], compared);
  if (described.max !== undefined || described.note !== MISSING.note || !names.includes(VALUE)) {
    return { step, ...described };
  }
  // The result is in the lock itself, where the tensor's original is nowhere.
  const { tensor: _result, ...numbers } = describeValue(compared);
  return {
    step,
    tensor: described.tensor,
    ...numbers,
    ...(numbers.max === undefined ? {} : { measured: "its result" }),
  };
}

/** The result of a step, number by number. */
function describeValue({ output, locked, made, old }: Compared): Described {
  return { tensor: `${output}, its result`, ...valueNumbers(locked.value ?? old?.value, made.value) };
}

/** A packed layer, by the weights that it decodes to. */
async function describeLayer(
  file: string,
  { output, names, made, old, originals: { packed } }: Compared,
): Promise<Described> {
  const layer = layerOf(file);
  const planes = names.filter((each) => placeOf(each).file === file).flatMap((each) => placeOf(each).tensor ?? []);
  const tensor = `${output} ${layer}${planes.length > 0 ? ` (${planes.join(", ")})` : ""}`;
  const then = packed?.layers.has(layer)
    ? await packed.read(`${layer}.weight`)
    : old && headerOf(old, layer)
    ? await decode(old, layer, file)
    : undefined;
  if (then === undefined) return { tensor, ...MISSING };
  return { tensor, ...compare(then, await decode(made, layer, file)), measured: "weights as they decode" };
}

async function describeTensor(name: string, { output, locked, made, old, originals }: Compared): Promise<Described> {
  if (made.files.includes(name)) {
    return { tensor: `${output} ${name}`, note: "it is a whole file, made of what the steps before have made" };
  }
  const { file, tensor: inside } = placeOf(name);
  const tensor = `${output} ${layerOf(file)}${inside === undefined ? "" : ` ${inside}`}`;
  if (!made.files.includes(file)) return { tensor, note: "it was not made now" };
  const tensors = await made.read(file), which = inside ?? Object.keys(tensors)[0];
  if (old === undefined || !old.files.includes(file)) return { tensor, ...MISSING };
  const original = (await old.read(file))[which], now = tensors[which];
  if (original === undefined || now === undefined) return { tensor, note: "only one of the two runs has it" };
  // A cache may hold what another run made under the same key.
  const hash = inside === undefined ? hashOfFile(originals, old.key, file) : await hashTensor(original);
  if (hash !== locked.tensors[name]) return { tensor, ...MISSING };
  if (`${original.shape}` !== `${now.shape}` || original.dtype !== now.dtype) {
    const shape = ({ dtype, shape }: Tensor) => `${dtype} [${shape.join(", ")}]`;
    return { tensor, note: `it was ${shape(original)} and is ${shape(now)}` };
  }
  return { tensor, ...compare(numbersOf(original), numbersOf(now)) };
}

/** A file's name without its ending: of a packed layer, the layer's. */
function layerOf(file: string): string {
  return file.replace(/\.safetensors$/, "");
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
  const other = [...before].find(([path, value]) =>
    value !== after.get(path) && (typeof value !== "number" || typeof after.get(path) !== "number")
  );
  if (other !== undefined) return { note: `${other[0]} was ${other[1]} and is ${after.get(other[0]) ?? "not there"}` };
  const paths = [...before].filter(([, value]) => typeof value === "number").map(([path]) => path);
  return compare(paths.map((path) => Number(before.get(path))), paths.map((path) => Number(after.get(path) ?? NaN)));
}

function leaves(value: Json, path = ""): Map<string, unknown> {
  if (typeof value !== "object" || value === null) return new Map([[path === "" ? "it" : path, value]]);
  return new Map(
    Object.entries(value).flatMap(([name, inner]) => [...leaves(inner, path === "" ? name : `${path}.${name}`)]),
  );
}
