// out (1 × n) := entries first… of a diagonal. Entry j lies at start + j·step − shrink·j(j − 1)/2: step stride + 1 and
// shrink 0 in a matrix, step size and shrink 1 in a packed triangle.
struct Params {
  length: u32,
  first: u32,
  outOffset: u32,
  // Less where the binding starts, so perhaps below zero; sums wrap.
  start: u32,
  step: u32,
  shrink: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> from_: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.length) { return; }
  let j = params.first + id.x;
  let before = params.shrink * (j * (max(j, 1u) - 1u) / 2u);
  out[params.outOffset + id.x] = from_[params.start + j * params.step - before];
}
