// The mean of what pairs of floats add up to, or its root. One workgroup.
struct Params {
  // Pairs.
  length: u32,
  // What the sum is divided by, as a pair of floats.
  count: f32,
  count_rest: f32,
  take_root: u32,
  to: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<vec2f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = vec2f(0.0);
  for (var i = lane; i < params.length; i += 64u) {
    sum = plus(sum, sums[i]);
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if lane < half {
      partial[lane] = plus(partial[lane], partial[lane + half]);
    }
    workgroupBarrier();
  }
  if lane == 0u {
    let mean = over(partial[0], vec2f(params.count, params.count_rest)).x;
    result[params.to] = select(mean, root(mean).x, params.take_root == 1u);
  }
}
