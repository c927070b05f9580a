// out := R⁻¹ of an upper triangular R: a thread solves R·x = e_j for each column j, from row j upwards. Follows
// `two_float.wgsl`.
struct Params {
  size: u32,
  outOffset: u32,
  outStride: u32,
  fromOffset: u32,
  fromStride: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> r: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let j = id.x;
  if (j >= params.size) { return; }
  for (var i = j + 1u; i < params.size; i++) { out[params.outOffset + i * params.outStride + j] = 0.0; }
  for (var step = 0u; step <= j; step++) {
    let i = j - step;
    let line = params.fromOffset + i * params.fromStride;
    var sum = vec2f(select(0.0, 1.0, i == j), 0.0);
    for (var k = i + 1u; k <= j; k++) {
      sum = add(sum, -(r[line + k] * out[params.outOffset + k * params.outStride + j]));
    }
    out[params.outOffset + i * params.outStride + j] = sum.x / r[line + i];
  }
}
