// Adds the columns of a matrix, or its absolute values, to pairs of floats. 16 columns × 16 lanes of rows to a workgroup.
struct Params {
  rows: u32,
  cols: u32,
  at: u32,
  absolute: u32,
  // 1: the sums so far are written too, rounded, from `to` on.
  rounded: u32,
  to: u32,
}

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> rounded: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<vec2f, 256>;

@compute @workgroup_size(16, 16)
fn main(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {
  let col = group.x * 16u + local.x;
  let slot = local.y * 16u + local.x;
  var sum = vec2f(0.0);
  if col < params.cols {
    for (var row = local.y; row < params.rows; row += 16u) {
      let x = values[params.at + row * params.cols + col];
      sum = add(sum, select(x, abs(x), params.absolute == 1u));
    }
  }
  partial[slot] = sum;
  workgroupBarrier();
  for (var half = 8u; half > 0u; half /= 2u) {
    if local.y < half {
      partial[slot] = plus(partial[slot], partial[slot + half * 16u]);
    }
    workgroupBarrier();
  }
  if local.y > 0u || col >= params.cols {
    return;
  }
  let total = plus(sums[col], partial[slot]);
  sums[col] = total;
  if params.rounded == 1u {
    rounded[params.to + col] = total.x;
  }
}
