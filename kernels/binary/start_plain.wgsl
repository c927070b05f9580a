// First signs and the mean magnitude of what is kept, a thread to a row; see plain.ts.
struct Params {
  rows: u32,
  cols: u32,
  pruned: u32,
  codes_at: u32,
  scales_at: u32,
  w_at: u32,
  rank_at: u32,
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> rank: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

const KEPT = 1u;
const SIGN = 2u;
const GROUP = 8u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if row >= params.rows {
    return;
  }
  let first = row * params.cols;
  var sum = vec2f(0.0);
  var count = 0.0;
  for (var c = first; c < first + params.cols; c += 1u) {
    let x = w[params.w_at + c];
    let kept = rank[params.rank_at + c] >= params.pruned;
    codes[params.codes_at + c] = GROUP | select(0u, KEPT | select(0u, SIGN, x >= 0.0), kept);
    if kept {
      sum = add(sum, abs(x));
      count += 1.0;
    }
  }
  scales[params.scales_at + 2u * row] = 0.0;
  scales[params.scales_at + 2u * row + 1u] = select(0.0, over(sum, vec2f(max(count, 1.0), 0.0)).x, count > 0.0);
}
