// Weights to the nearest levels of their row's grid, a thread to a weight; see round.ts.
struct Params {
  rows: u32,
  cols: u32,
  most: u32,
  is_sign: u32,
  codes_at: u32,
  w_at: u32,
  scales_at: u32,
  zeros_at: u32,
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> zeros: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.cols {
    return;
  }
  let row = i / params.cols;
  let x = w[params.w_at + i];
  if params.is_sign == 1u {
    codes[params.codes_at + i] = select(0u, 1u, x >= 0.0);
    return;
  }
  let zero = i32(zeros[params.zeros_at + row]);
  codes[params.codes_at + i] = u32(nearest(vec2f(x, 0.0), zero, scales[params.scales_at + row], i32(params.most)).code);
}
