/** How many numbers the uniform of a shader takes: they are written by position, so that one too few would go unseen. */
import type { GpuOp } from "./op.ts";

/** Numbers of the types that uniforms are made of, without arrays. */
const SCALAR = /^(?:u32|i32|f32)$/, VECTOR = /^vec([234])(?:[uif]|<(?:u32|i32|f32)>)$/;

/** An array whose elements lie without gaps in a uniform: of vectors of four. */
const ARRAY = /^array<(vec4(?:[uif]|<(?:u32|i32|f32)>)),(\d+)u?>$/;

/**
 * Holds the numbers that are given against the uniform that a shader declares.
 *
 * @param given how many there are
 * @throws {RangeError} when the shader takes another number of them, or members that numbers cannot be written to one
 * after the other
 */
export function checkParams(op: Pick<GpuOp, "name" | "code">, given: number): void {
  const wanted = uniformMembers(op);
  if (given === wanted) return;
  throw new RangeError(`Cannot run "${op.name}" as its uniform takes ${wanted} numbers: current value is ${given}`);
}

/**
 * Numbers of the `var<uniform>` of a shader, 0 where it has none.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { uniformMembers } from "./uniform.ts";
 *
 * const code = `
 *   struct Params { rows: u32, scale: f32, corner: vec2u }
 *   @group(0) @binding(1) var<uniform> params: Params;`;
 * assert.equal(uniformMembers({ name: "scale", code }), 4);
 * ```
 * @throws {RangeError} when it has members that numbers cannot be written to one after the other
 */
export function uniformMembers({ name, code }: Pick<GpuOp, "name" | "code">): number {
  const plain = code.replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, "");
  const type = /\bvar\s*<\s*uniform\s*>\s*\w+\s*:\s*([^;]+);/.exec(plain)?.[1];
  if (type === undefined) return 0;
  return numbersOf(type, { name, plain });
}

function numbersOf(type: string, { name, plain }: { readonly name: string; readonly plain: string }): number {
  const found = type.replaceAll(/\s/g, "");
  if (SCALAR.test(found)) return 1;
  const vector = VECTOR.exec(found);
  if (vector) return Number(vector[1]);
  const array = ARRAY.exec(found);
  if (array) return 4 * Number(array[2]);
  const body = /^\w+$/.test(found) ? new RegExp(`\\bstruct\\s+${found}\\s*\\{([^}]*)\\}`).exec(plain)?.[1] : undefined;
  if (body === undefined) throw new RangeError(`Cannot run "${name}" as its uniform has a member of type ${found}`);
  let numbers = 0;
  for (const member of body.matchAll(/(\w+)\s*:\s*((?:<[^>]*>|[^,<])+)/g)) {
    const count = numbersOf(member[2], { name, plain });
    // Vectors lie at multiples of their size; what comes before them must fill it.
    const step = count === 3 ? 4 : Math.min(count, 4);
    if (numbers % step !== 0) {
      throw new RangeError(`Cannot run "${name}" as its uniform has a gap before "${member[1]}"`);
    }
    numbers += count;
  }
  return numbers;
}
