// added (1 × size) := damping·mean(diagonal), plus 1 where it is 0; the mean counts such entries as 1. One workgroup.
// Follows `two_float.wgsl`.
override WORKGROUP = 128u;

struct Params {
  size: u32,
  diagonalOffset: u32,
  addedOffset: u32,
  damping: f32,
}

@group(0) @binding(0) var<storage, read_write> added: array<f32>;
@group(0) @binding(1) var<storage, read> diagonal: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> shares: array<vec2<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = vec2(0.0);
  for (var j = lane; j < params.size; j += WORKGROUP) {
    let x = diagonal[params.diagonalOffset + j];
    sum = add(sum, select(x, 1.0, x == 0.0));
  }
  shares[lane] = sum;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (lane < half) { shares[lane] = plus(shares[lane], shares[lane + half]); }
    workgroupBarrier();
  }
  let shift = params.damping * shares[0].x / f32(params.size);
  for (var j = lane; j < params.size; j += WORKGROUP) {
    let x = diagonal[params.diagonalOffset + j];
    added[params.addedOffset + j] = shift + select(0.0, 1.0, x == 0.0);
  }
}
