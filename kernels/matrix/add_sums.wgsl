// out[offset] += factor·Σ sums, all in one workgroup; each sum is a pair of floats. Follows `two_float.wgsl`.
override WORKGROUP = 128u;

struct Params {
  count: u32,
  offset: u32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> sums: array<vec2<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> shares: array<vec2<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = vec2(0.0);
  for (var i = lane; i < params.count; i += WORKGROUP) { sum = plus(sum, sums[i]); }
  shares[lane] = sum;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (lane < half) { shares[lane] = plus(shares[lane], shares[lane + half]); }
    workgroupBarrier();
  }
  if (lane == 0u) { out[params.offset] = add(times(vec2f(params.factor, 0.0), shares[0]), out[params.offset]).x; }
}
