// Grids of rows, a thread to a row; see fit.ts.
struct Params {
  rows: u32,
  cols: u32,
  most: u32,
  is_sign: u32,
  scales_at: u32,
  lows_at: u32,
  w_at: u32,
}

@group(0) @binding(0) var<storage, read_write> scales: array<f32>;
@group(0) @binding(1) var<storage, read_write> lows: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if row >= params.rows {
    return;
  }
  let first = params.w_at + row * params.cols;
  var low = 0.0;
  var high = 0.0;
  var sum = vec2f(0.0);
  for (var c = 0u; c < params.cols; c += 1u) {
    let x = w[first + c];
    low = select(low, x, x < low);
    high = select(high, x, x > high);
    sum = add(sum, abs(x));
  }
  let spread = over(two_sum(high, -low), vec2f(f32(params.most), 0.0)).x;
  let mean = over(sum, vec2f(f32(params.cols), 0.0)).x;
  // What is no number stays one, and is found at the layer's end.
  let broken = hold(sum.x - sum.x);
  scales[params.scales_at + row] = select(spread, mean, params.is_sign == 1u) + broken;
  lows[params.lows_at + row] = low;
}
