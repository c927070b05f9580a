// out := (a − b)·diag(scale), or its transpose; scale counts where `scaled` is 1.
struct Params {
  rows: u32,
  cols: u32,
  outOffset: u32,
  // Steps in out for one row and one column of a.
  outRow: u32,
  outCol: u32,
  aOffset: u32,
  aStride: u32,
  bOffset: u32,
  bStride: u32,
  scaleOffset: u32,
  scaled: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.cols) { return; }
  var x = a[params.aOffset + id.y * params.aStride + id.x] - b[params.bOffset + id.y * params.bStride + id.x];
  if (params.scaled == 1u) { x *= scale[params.scaleOffset + id.x]; }
  out[params.outOffset + id.y * params.outRow + id.x * params.outCol] = x;
}
