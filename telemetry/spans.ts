/**
 * Spans of OpenTelemetry, which Deno's built-in exporter sends where it is on (`OTEL_DENO=true`). Where it is off nobody listens: nothing is
 * made, and a look at one constant is all it costs.
 */
import { type Attributes, context, propagation, SpanStatusCode, trace } from "@opentelemetry/api";

export type { Attributes };

const tracer = trace.getTracer("pbs2p");

/** Whether anybody listens; it is settled when the process starts. */
const LISTENED = tracer.startSpan("pbs2p").isRecording();

/** Milliseconds from which on an operation is a span of its own: a layer has thousands that are done before anybody could look at them. */
const LONG = 1;

/** Where spans begun elsewhere belong, as W3C's Trace Context has it; it can go to a worker. */
export type SpanContext = Readonly<Record<string, string>>;

/**
 * Runs something within a span, under the one that is running.
 *
 * @param options.attributesOf more, known at the end
 * @param options.failureOf why a result is a failure, where failures are no exceptions
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { spanned } from "./spans.ts";
 *
 * assert.equal(await spanned("double", { "pbs2p.step": "double" }, () => Promise.resolve(4)), 4);
 * ```
 */
export async function spanned<T>(
  name: string,
  attributes: Attributes,
  run: () => T | Promise<T>,
  { attributesOf, failureOf }: {
    readonly attributesOf?: (result: T) => Attributes;
    readonly failureOf?: (result: T) => Error | undefined;
  } = {},
): Promise<T> {
  if (!LISTENED) return await run();
  const span = tracer.startSpan(name, { attributes });
  const fail = (cause: unknown) => {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    span.recordException(error);
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  };
  try {
    const result = await context.with(trace.setSpan(context.active(), span), run);
    span.setAttributes(attributesOf?.(result) ?? {});
    const failure = failureOf?.(result);
    if (failure) fail(failure);
    return result;
  } catch (error) {
    fail(error);
    throw error;
  } finally {
    span.end();
  }
}

/** When something began that may become a span; 0 where nobody listens. */
export function beginning(): number {
  return LISTENED ? Date.now() : 0;
}

/** Makes a span of what began then and ends now, if it took long enough. @param attributes asked for only then */
export function ended(name: string, began: number, attributes: () => Attributes): void {
  if (!LISTENED || Date.now() - began < LONG) return;
  tracer.startSpan(name, { startTime: began, attributes: attributes() }).end();
}

/** The span that is running, for a worker; undefined where nobody listens. */
export function runningSpan(): SpanContext | undefined {
  if (!LISTENED) return undefined;
  const carrier: Record<string, string> = {};
  propagation.inject(context.active(), carrier);
  return carrier;
}

/** Runs something, in a worker, under a span of the thread that asks for it. */
export function under<T>(span: SpanContext | undefined, run: () => T): T {
  return LISTENED && span !== undefined ? context.with(propagation.extract(context.active(), span), run) : run();
}
