/** The worker's side of the forward pass: answers calls one after the other with an `Engine`. */
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { env, listSupportedBackends } from "onnxruntime-node";
import { Engine } from "./engine.ts";
import type {
  BlockOutput,
  Choices,
  HeadComparison,
  MatrixSums,
  ProbeResult,
  Request,
  Response,
} from "./forward_protocol.ts";
import { probeProvider } from "./provider_probe.ts";

let engine: Engine | undefined;
let queue: Promise<void> = Promise.resolve();

self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  queue = queue.then(() => respond(data));
});

async function respond(request: Request): Promise<void> {
  let response: Response;
  let transfer: Transferable[] = [];
  try {
    const result = await answer(request);
    response = { call: request.call, result };
    transfer = buffers(result);
  } catch (error) {
    response = { call: request.call, error: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage(response, transfer);
}

async function answer(request: Request): Promise<Extract<Response, { result: unknown }>["result"]> {
  const { name, params } = request;
  if (name === "open") {
    engine = new Engine(params.spec, params.options);
    return null;
  }
  if (name === "close") return await engine?.close(), null;
  if (name === "providers") return listSupportedBackends().map(({ name }) => name);
  if (name === "probe") {
    // A provider that does not open is a finding here, not an error for the terminal.
    env.logLevel = "fatal";
    return await probeProvider(params.spec, params.provider);
  }
  if (!engine) throw new Error("Cannot run the model as its worker was not opened");
  switch (name) {
    case "openBlock":
      return engine.openBlock(params.id, params, params.options), null;
    case "setWeights":
      return engine.setWeights(params.id, params.weights), null;
    case "runBlock":
      return await engine.runBlock(params.id, params, params);
    case "finishBlock":
      return engine.finishBlock(params.id);
    case "openHead":
      return engine.heads.open(params.id, params.weights), null;
    case "loss":
      return await engine.heads.loss(params.id, params.hidden, params.ids, params);
    case "compareHeads":
      return await engine.heads.compare(params.heads, params.hidden, params.ids, params);
    case "choose":
      return await engine.heads.choose(params.id, params.hidden, params.ids, params.perToken);
    case "logits":
      return await engine.heads.logits(params.id, params.hidden);
    case "openHeadInput":
      return engine.heads.openInput(params.id, params.weights), null;
    case "gatherHeadInput":
      return await engine.heads.gatherInput(params.id, params.hidden, params);
    case "finishHeadInput":
      return engine.heads.finishInput(params.id);
    case "closeHead":
      return engine.heads.close(params.id), null;
    default:
      return request satisfies never;
  }
}

/** Buffers of a result, to be moved rather than copied. */
function buffers(result: Extract<Response, { result: unknown }>["result"]): ArrayBuffer[] {
  if (result === null || isSmall(result)) return [];
  const arrays = ArrayBuffer.isView(result)
    ? [result]
    : isComparison(result)
    ? [result.loss, result.originalLoss, result.divergence, result.same]
    : isChoices(result)
    ? [result.logLikelihoods, result.likeliest]
    : isBlockOutput(result)
    ? [result.input, result.hidden, result.original?.input, result.original?.hidden]
    : Object.values(result).flatMap((sums) => [sums.diagonal, ...[sums, ...sums.marks ?? []].flatMap(arraysOf)]);
  return arrays.flatMap((array) => array?.buffer instanceof ArrayBuffer ? [array.buffer] : []);
}

function arraysOf({ upper, cross, residual }: MatrixSums): (Float32Array | undefined)[] {
  return [upper, cross, residual];
}

function isBlockOutput(result: object): result is BlockOutput {
  return "input" in result && result.input instanceof Float32Array;
}

function isComparison(result: object): result is HeadComparison {
  return "originalLoss" in result && result.originalLoss instanceof Float32Array;
}

function isChoices(result: object): result is Choices {
  return "likeliest" in result && result.likeliest instanceof Int32Array;
}

/** Whether a result holds no arrays of numbers. */
function isSmall(result: object): result is readonly string[] | ProbeResult {
  return Array.isArray(result) || "difference" in result || "failure" in result;
}
