// The code of each row that stands for 0, a thread to a row; see fit.ts.
struct Params {
  rows: u32,
  most: u32,
  zeros_at: u32,
  scales_at: u32,
  lows_at: u32,
}

@group(0) @binding(0) var<storage, read_write> zeros: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read> lows: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if row >= params.rows {
    return;
  }
  let scale = scales[params.scales_at + row];
  var zero = 0u;
  if scale > 0.0 {
    let place = over(vec2f(-lows[params.lows_at + row], 0.0), vec2f(scale, 0.0));
    let lower = floor(place.x);
    // What is left of the leading part may be what decides.
    let rest = add(two_sum(place.x, -lower), place.y);
    zero = min(params.most, u32(max(0.0, lower + select(1.0, 0.0, is_less(rest, vec2f(0.5, 0.0))))));
  }
  zeros[params.zeros_at + row] = zero;
}
