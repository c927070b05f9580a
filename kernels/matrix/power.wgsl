// out := from^exponent. The usual exponents are exact operations; `pow` is not.
struct Params {
  cols: u32,
  outOffset: u32,
  outStride: u32,
  fromOffset: u32,
  fromStride: u32,
  exponent: f32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> from_: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.cols) { return; }
  let x = from_[params.fromOffset + id.y * params.fromStride + id.x];
  let e = params.exponent;
  var y: f32;
  if (e == 1.0) { y = x; }
  else if (e == 2.0) { y = x * x; }
  else if (e == 0.5) { y = sqrt(x); }
  else if (e == -1.0) { y = 1.0 / x; }
  else if (e == -2.0) { y = 1.0 / (x * x); }
  else if (e == 0.0) { y = 1.0; }
  else { y = pow(x, e); }
  out[params.outOffset + id.y * params.outStride + id.x] = y;
}
