// out (1 × cols) += Σ_rows from², a thread for each column. Follows `two_float.wgsl`.
struct Params {
  rows: u32,
  cols: u32,
  outOffset: u32,
  fromOffset: u32,
  fromStride: u32,
  // 1 for the first rows: out is not read.
  first: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> from_: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.cols) { return; }
  var sum = vec2f(0.0);
  var at = params.fromOffset + id.x;
  for (var r = 0u; r < params.rows; r++) {
    sum = add(sum, from_[at] * from_[at]);
    at += params.fromStride;
  }
  let to = params.outOffset + id.x;
  if (params.first == 0u) { sum = add(sum, out[to]); }
  out[to] = sum.x;
}
