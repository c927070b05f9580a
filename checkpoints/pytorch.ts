/** State dicts that PyTorch saved (`torch.save`, 1.6 and later): a zip file with a pickle and one member per storage. */
import type { ByteSource } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import type { Fail } from "../files/json_text.ts";
import { lookAt, quote } from "../files/what_is_it.ts";
import { unpickle } from "./pickle.ts";
import type { Span } from "./same_bytes.ts";
import { type Dtype, type Tensor, tensorOf } from "../files/safetensors.ts";
import { ELEMENT_BYTES, elements } from "../files/safetensors_header.ts";
import { locateMember, readZipDirectory, type ZipMember } from "./zip.ts";

/** Where one tensor lies in its file: a view of a storage. Offsets and strides count elements. */
export interface TorchTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** First element, from the start of the storage. */
  readonly offset: number;
  readonly storage: Storage;
}

/** A run of elements, which several tensors may share. */
interface Storage {
  readonly dtype: Dtype;
  /** Elements. */
  readonly count: number;
  /** Name of the member with its bytes. */
  readonly name: string;
  readonly member: ZipMember;
}

/** What the allowed global names stand for. */
type Known =
  | { readonly known: "dictionary" | "tensor" | "parameter" | "size" | "dtype" }
  | { readonly known: "storage"; readonly dtype: Dtype };

/** Larger pickles are refused: they hold some 200 bytes per tensor, so this is 100 times what the largest models have. */
const MOST_PICKLE_BYTES = 32_000_000;

const STORAGES: ReadonlyMap<string, Dtype> = new Map([
  ["torch.FloatStorage", "F32"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.DoubleStorage", "F64"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.ShortStorage", "I16"],
  ["torch.CharStorage", "I8"],
  ["torch.ByteStorage", "U8"],
  ["torch.BoolStorage", "BOOL"],
]);

const GLOBALS: ReadonlyMap<string, Known> = new Map<string, Known>([
  ["collections.OrderedDict", { known: "dictionary" }],
  ["torch._utils._rebuild_tensor_v2", { known: "tensor" }],
  ["torch._utils._rebuild_parameter", { known: "parameter" }],
  ["torch.Size", { known: "size" }],
  ...["float32", "float16", "bfloat16", "float64"].map((
    name,
  ): [string, Known] => [`torch.${name}`, { known: "dtype" }]),
  ...[...STORAGES].map(([name, dtype]): [string, Known] => [name, { known: "storage", dtype }]),
]);

/** A pickle that begins with the magic number of the format before 1.6: protocol 2, a long of ten bytes. */
const LEGACY = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/** Tells a tensor from everything else that a state dict may hold. */
class Rebuilt {
  constructor(readonly tensor: TorchTensor) {}
}

/** Tells a storage from everything else. */
class Stored {
  constructor(readonly storage: Storage) {}
}

/**
 * Reads which tensors a state dict holds and where; their values are not touched, and nothing in the file is executed.
 * Entries that are not tensors are left out.
 *
 * Format: https://docs.pytorch.org/docs/stable/notes/serialization.html, "Serialized file format for torch.save".
 * @returns tensors by name, in the file's order; each one's elements lie within its storage, and that within the file
 * @throws {InputError} when the file is truncated, malformed or of the format before 1.6, or refers to anything that a
 * state dict does not need
 */
export async function parseStateDict(source: ByteSource): Promise<ReadonlyMap<string, TorchTensor>> {
  const fail = failing(source.label);
  const members = await readZipDirectory(source).catch(async (error) => {
    await explainKind(source, fail);
    throw error;
  });
  const pickles = [...members.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) fail(`it must have one member named */data.pkl: it has ${pickles.length}`);
  const root = pickles[0].slice(0, -"data.pkl".length);
  const order = members.get(`${root}byteorder`);
  if (order !== undefined) {
    const text = new TextDecoder().decode(await readMember(source, `${root}byteorder`, order, 16));
    if (text !== "little") fail(`its byte order must be little: current value is ${JSON.stringify(text)}`);
  }
  const pickle = await readMember(source, pickles[0], members.get(pickles[0])!, MOST_PICKLE_BYTES);
  const dictionary = unpickle(pickle, {
    label: source.label,
    global: (name, fail) => GLOBALS.get(name) ?? fail(refusal(name)),
    call,
    persistent: (id, fail) => new Stored(storageOf(id, root, members, fail)),
  });
  if (!(dictionary instanceof Map)) return fail("it does not hold a state dict");
  const tensors = new Map<string, TorchTensor>();
  for (const [name, value] of dictionary) {
    if (typeof name === "string" && value instanceof Rebuilt) tensors.set(name, value.tensor);
  }
  if (tensors.size === 0) {
    const keys = [...dictionary.keys()].slice(0, 5).map((key) => typeof key === "string" ? quote(key) : typeof key);
    fail(`it holds no tensors but ${keys.join(", ") || "nothing"}; give the model's state dict alone`);
  }
  return tensors;
}

/**
 * Reads one tensor by its byte range, in the order of its shape whatever its strides are.
 *
 * @throws {InputError} when the storage is not where the file says
 */
export async function readTorchTensor(source: ByteSource, tensor: TorchTensor): Promise<Tensor> {
  const { dtype, shape, strides, offset, storage } = tensor;
  const size = ELEMENT_BYTES[dtype];
  const begin = await locateMember(source, storage.name, storage.member) + offset * size;
  const bytes = await source.read(begin, begin + span(shape, strides) * size);
  return tensorOf(dtype, shape, isContiguous(shape, strides) ? bytes : gather(bytes, size, shape, strides));
}

/**
 * Where a tensor's elements lie in the order of its shape: in the file, or in memory where a view has other strides.
 *
 * @throws {InputError} when the storage is not where the file says
 */
export async function torchSpan(source: ByteSource, tensor: TorchTensor): Promise<Span> {
  const { dtype, shape, strides, offset, storage } = tensor;
  if (!isContiguous(shape, strides)) {
    const { data } = await readTorchTensor(source, tensor);
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    const read = (begin: number, end: number) => Promise.resolve(bytes.slice(begin, end));
    return { source: { read }, begin: 0, end: bytes.length };
  }
  const begin = await locateMember(source, storage.name, storage.member) + offset * ELEMENT_BYTES[dtype];
  return { source, begin, end: begin + torchBytes(tensor) };
}

/** Bytes of a tensor's elements. */
export function torchBytes({ dtype, shape }: TorchTensor): number {
  return elements(shape) * ELEMENT_BYTES[dtype];
}

/** Says what a file is instead, where its beginning tells. */
async function explainKind(source: ByteSource, fail: Fail): Promise<void> {
  const first = await source.read(0, Math.min(source.size, LEGACY.length));
  if (LEGACY.every((byte, i) => first[i] === byte)) {
    fail(
      "it has the format of PyTorch before 1.6; load it with a current PyTorch and torch.save it again, or use safetensors",
    );
  }
  const other = await lookAt(source, "PyTorch");
  if (other !== undefined) fail(other);
}

async function readMember(
  source: ByteSource,
  name: string,
  member: ZipMember,
  most: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (member.size > most) failing(source.label)(`${name} may have ${most} bytes: it has ${member.size}`);
  const begin = await locateMember(source, name, member);
  return await source.read(begin, begin + member.size);
}

function call(callee: unknown, inputs: readonly unknown[], fail: Fail): unknown {
  const { known } = isKnown(callee) ? callee : fail("it calls something that is not a function");
  switch (known) {
    case "dictionary":
      return inputs.length === 0 ? new Map() : fail("it makes a dictionary from a list");
    case "tensor":
      return new Rebuilt(rebuild(inputs, fail));
    case "parameter":
      return inputs[0] instanceof Rebuilt ? inputs[0] : fail("a parameter is made of something other than a tensor");
    case "size":
      return inputs[0];
    default:
      return fail(`it calls a ${known}`);
  }
}

/** @param inputs storage, offset, shape, strides, and what does not matter here: requires_grad, hooks, metadata */
function rebuild([stored, offset, shape, strides]: readonly unknown[], fail: Fail): TorchTensor {
  if (!(stored instanceof Stored)) fail("a tensor has no storage");
  if (!isLength(offset) || !isLengths(shape) || !isLengths(strides) || shape.length !== strides.length) {
    return fail("a tensor's offset, shape and strides are not lists of sizes of one length");
  }
  const { storage } = stored;
  const count = elements(shape);
  // Written so that NaN, which Infinity · 0 gives, is refused too. Expanded tensors, whose strides are 0, are refused as
  // they could be larger than their file; PyTorch models have none.
  if (!(count <= storage.count) || !(offset + span(shape, strides) <= storage.count)) {
    fail(
      `a tensor with shape [${shape.join(", ")}], strides [${
        strides.join(", ")
      }] and offset ${offset} does not fit its ` +
        `storage of ${storage.count} elements`,
    );
  }
  return { dtype: storage.dtype, shape, strides, offset, storage };
}

/** @param id ("storage", type, key, device, elements) */
function storageOf(id: unknown, root: string, members: ReadonlyMap<string, ZipMember>, fail: Fail): Storage {
  const [kind, type, key, , count] = Array.isArray(id) ? id : [];
  if (kind !== "storage" || !isKnown(type) || type.known !== "storage" || typeof key !== "string" || !isLength(count)) {
    return fail("it refers to something other than a storage");
  }
  const name = `${root}data/${key}`;
  const member = members.get(name) ?? fail(`it refers to ${quote(name)}, which the file does not hold`);
  const bytes = count * ELEMENT_BYTES[type.dtype];
  if (member.size !== bytes) {
    fail(`${name} must have ${bytes} bytes (${count} of ${type.dtype}): it has ${member.size}`);
  }
  return { dtype: type.dtype, count, name, member };
}

/** Elements from the first to the last one of a view, both included. */
function span(shape: readonly number[], strides: readonly number[]): number {
  if (elements(shape) === 0) return 0;
  return shape.reduce((last, length, axis) => last + (length - 1) * strides[axis], 1);
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}

/** @param bytes from a view's first to its last element; @param size bytes of one; @returns them in the shape's order */
function gather(
  bytes: Uint8Array<ArrayBuffer>,
  size: number,
  shape: readonly number[],
  strides: readonly number[],
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(elements(shape) * size);
  const index = shape.map(() => 0);
  for (let to = 0, from = 0; to < out.length; to += size) {
    for (let byte = 0; byte < size; byte++) out[to + byte] = bytes[from * size + byte];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= shape[axis] * strides[axis];
      index[axis] = 0;
    }
  }
  return out;
}

function refusal(name: string): string {
  return `${
    quote(name)
  } is none of the names that a state dict needs; nothing was executed: if you trust the file, load it ` +
    "with PyTorch and save the model as safetensors";
}

function isKnown(value: unknown): value is Known {
  return typeof value === "object" && value !== null && "known" in value;
}

function isLength(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isLengths(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isLength);
}

function failing(label: string): Fail {
  return (why) => {
    throw new InputError(`Cannot read ${label} as a PyTorch checkpoint: ${why}`);
  };
}
