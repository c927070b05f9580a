// sums[first + workgroup] := Σ a∘b over some rows, as a pair of floats. A workgroup for each `chunk` rows. Follows
// `two_float.wgsl`.
override WORKGROUP = 128u;

struct Params {
  rows: u32,
  cols: u32,
  aOffset: u32,
  aStride: u32,
  bOffset: u32,
  bStride: u32,
  chunk: u32,
  first: u32,
}

@group(0) @binding(0) var<storage, read_write> sums: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> shares: array<vec2<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
  let end = min(params.rows, (group.x + 1u) * params.chunk);
  var sum = vec2(0.0);
  for (var r = group.x * params.chunk; r < end; r++) {
    for (var c = lane; c < params.cols; c += WORKGROUP) {
      sum = add(sum, a[params.aOffset + r * params.aStride + c] * b[params.bOffset + r * params.bStride + c]);
    }
  }
  shares[lane] = sum;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (lane < half) { shares[lane] = plus(shares[lane], shares[lane + half]); }
    workgroupBarrier();
  }
  if (lane == 0u) { sums[params.first + group.x] = shares[0]; }
}
