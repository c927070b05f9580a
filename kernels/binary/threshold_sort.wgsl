// Each row upwards: a score's place is the number of those before it. A thread to a score.
struct Params {
  rows: u32,
  cols: u32,
  keys_at: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<f32>;
@group(0) @binding(1) var<storage, read_write> sorted: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.cols {
    return;
  }
  let col = i % params.cols;
  let first = params.keys_at + i - col;
  let mine = keys[first + col];
  var place = 0u;
  for (var other = 0u; other < col; other += 1u) {
    place += u32(keys[first + other] <= mine);
  }
  for (var other = col + 1u; other < params.cols; other += 1u) {
    place += u32(keys[first + other] < mine);
  }
  sorted[i - col + place] = mine;
}
