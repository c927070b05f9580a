import assert from "node:assert/strict";
import { checkParams, uniformMembers } from "./uniform.ts";
import { gpuTest } from "./webgpu_test_support.ts";

const CODE = `
  struct Other { a: u32, b: u32 }
  struct Params {
    /* rows: u32, */ cols: u32, // of: u32,
    @align(4) scale: f32,
    at: vec2<u32>,
    table: array<vec4f, 3>,
  }
  @group(0) @binding(0) var<storage, read_write> x: array<f32>;
  @group(0) @binding(1) var<uniform> params: Params;
  @compute @workgroup_size(1) fn main() { x[0] = params.scale + params.table[2].w; }`;

Deno.test("uniformMembers() counts numbers of structs, vectors, arrays and plain uniforms", () => {
  const of = (code: string) => uniformMembers({ name: "op", code });
  assert.equal(of(CODE), 1 + 1 + 2 + 12);
  assert.equal(of("@group(0) @binding(0) var<uniform> length: u32;"), 1);
  assert.equal(of("@group(0) @binding(0) var<uniform> corner : vec3f;"), 3);
  assert.equal(of("// var<uniform> params: Params;"), 0);
});

Deno.test("uniformMembers() refuses what numbers cannot be written to one after the other", () => {
  const of = (members: string) => () =>
    uniformMembers({ name: "op", code: `struct Params { ${members} } var<uniform> params: Params;` });
  assert.throws(of("m: mat2x2f"), /"op" as its uniform has a member of type mat2x2f/);
  assert.throws(of("a: u32, b: vec2u"), /"op" as its uniform has a gap before "b"/);
});

Deno.test("checkParams() names the kernel, the wanted and the given number", () => {
  checkParams({ name: "op", code: CODE }, 16);
  for (const given of [15, 17]) {
    assert.throws(() => checkParams({ name: "op", code: CODE }, given), {
      name: "RangeError",
      message: `Cannot run "op" as its uniform takes 16 numbers: current value is ${given}`,
    });
  }
});

gpuTest("run() refuses another number of params than the shader's uniform takes", async (context) => {
  const x = context.scratch("f32", 4), bindings = [{ buffer: x, access: "read_write" }] as const;
  assert.throws(() => context.run({ name: "short", code: CODE }, bindings, [1], [1]), /"short" .* 16 .* value is 1$/);
  const params = Array.from({ length: 16 }, (_, i) => ({ f32: i }));
  context.run({ name: "whole", code: CODE }, bindings, params, [1]);
  assert.equal((await context.download([x]))[0][0], 1 + 15);
});
