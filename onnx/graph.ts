/**
 * A small writer of ONNX graphs: nodes are added in order, names are made up, the result is a model's bytes.
 *
 * Not an optimiser and not a checker: onnxruntime does both when it opens the model.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from "onnx-buf";
import type { AttributeProto, NodeProto, TensorProto, ValueInfoProto } from "onnx-buf";

/** Name of a value inside a graph. */
export type Value = string;
/** Element types used here. */
export type ElementType = "float32" | "int32" | "int64";
/** A fixed size, or the name of one that may vary from run to run. */
export type Dimension = number | string;
/** Attribute values: integers, lists of integers; floats say so, as JavaScript cannot tell 1.0 from 1. */
export type Attribute = number | readonly number[] | { readonly float: number };

/** Of ONNX 1.18, the first with rotary embeddings and RMS norms as operators of their own. */
const OPSET = 23n;
const IR_VERSION = 11n;
/** Domain of onnxruntime's own operators; written before the operator's name, as in `com.microsoft:QuickGelu`. */
const MICROSOFT = "com.microsoft";
const ELEMENT_TYPES = { float32: DataType.FLOAT, int32: DataType.INT32, int64: DataType.INT64 } as const;

/**
 * Builds one graph.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { Graph } from "./graph.ts";
 *
 * const graph = new Graph("double");
 * const x = graph.input("x", ["n"]);
 * graph.output("y", graph.op("Add", [x, x]), ["n"]);
 * assert.ok(graph.bytes().length > 0);
 * ```
 */
export class Graph {
  readonly #name: string;
  readonly #nodes: NodeProto[] = [];
  readonly #inputs: ValueInfoProto[] = [];
  readonly #outputs: ValueInfoProto[] = [];
  readonly #constants: TensorProto[] = [];
  #count = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** Declares an input. */
  input(name: string, dimensions: readonly Dimension[], type: ElementType = "float32"): Value {
    this.#inputs.push(valueInfo(name, dimensions, type));
    return name;
  }

  /** Declares that `value` leaves the graph under `name`. */
  output(name: string, value: Value, dimensions: readonly Dimension[], type: ElementType = "float32"): void {
    this.#nodes.push(create(NodeProtoSchema, { opType: "Identity", input: [value], output: [name], name }));
    this.#outputs.push(valueInfo(name, dimensions, type));
  }

  /** Adds a node whose one output leaves the graph as it is, so that it is written where the caller wants it. */
  result(
    name: string,
    dimensions: readonly Dimension[],
    { type, inputs, attributes = {} }: {
      readonly type: string;
      readonly inputs: readonly Value[];
      readonly attributes?: Readonly<Record<string, Attribute>>;
    },
  ): void {
    this.#add(type, inputs, [name], attributes);
    this.#outputs.push(valueInfo(name, dimensions, "float32"));
  }

  /** A list of integers, such as a shape. */
  integers(values: readonly number[]): Value {
    const name = this.#fresh();
    const dims = [BigInt(values.length)];
    const int64Data = values.map(BigInt);
    this.#constants.push(create(TensorProtoSchema, { name, dataType: DataType.INT64, dims, int64Data }));
    return name;
  }

  /** A float scalar. */
  scalar(value: number): Value {
    const name = this.#fresh();
    this.#constants.push(create(TensorProtoSchema, { name, dataType: DataType.FLOAT, dims: [], floatData: [value] }));
    return name;
  }

  /** Adds a node with one output. Empty input names stand for optional inputs left out. */
  op(type: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}): Value {
    return this.ops(type, inputs, 1, attributes)[0];
  }

  /** Adds a node with `count` outputs. */
  ops(
    type: string,
    inputs: readonly Value[],
    count: number,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value[] {
    return this.#add(type, inputs, Array.from({ length: count }, () => this.#fresh()), attributes);
  }

  /** The model, serialised. */
  bytes(): Uint8Array {
    const graph = create(GraphProtoSchema, {
      name: this.#name,
      node: this.#nodes,
      input: this.#inputs,
      output: this.#outputs,
      initializer: this.#constants,
    });
    const opsetImport = [
      create(OperatorSetIdProtoSchema, { domain: "", version: OPSET }),
      create(OperatorSetIdProtoSchema, { domain: MICROSOFT, version: 1n }),
    ];
    return toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: IR_VERSION, opsetImport, graph }));
  }

  #add(
    type: string,
    inputs: readonly Value[],
    output: Value[],
    attributes: Readonly<Record<string, Attribute>>,
  ): Value[] {
    const attribute = Object.entries(attributes).map(([name, value]) => attributeProto(name, value));
    const [opType, domain] = type.split(":").reverse();
    this.#nodes.push(
      create(NodeProtoSchema, { opType, domain, input: [...inputs], output, attribute, name: output[0] }),
    );
    return output;
  }

  #fresh(): Value {
    return `v${this.#count++}`;
  }
}

function valueInfo(name: string, dimensions: readonly Dimension[], type: ElementType): ValueInfoProto {
  const dim = dimensions.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value: typeof size === "number" ? { case: "dimValue", value: BigInt(size) } : { case: "dimParam", value: size },
    })
  );
  const tensor = create(TypeProto_TensorSchema, {
    elemType: ELEMENT_TYPES[type],
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: "tensorType", value: tensor } }),
  });
}

function attributeProto(name: string, value: Attribute): AttributeProto {
  if (typeof value === "number") {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  }
  if ("float" in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}
