// Sums of each row's first 0, 1, 2, … sorted scores. A thread to a row.
struct Params {
  rows: u32,
  cols: u32,
}

@group(0) @binding(0) var<storage, read> sorted: array<f32>;
// rows × (cols + 1)
@group(0) @binding(1) var<storage, read_write> prefixes: array<vec2f>;
@group(0) @binding(2) var<uniform> params: Params;

const NONE = 3.4028234e38;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if row >= params.rows {
    return;
  }
  let to = row * (params.cols + 1u);
  var total = vec2f(0.0);
  prefixes[to] = total;
  for (var i = 0u; i < params.cols; i += 1u) {
    let x = sorted[row * params.cols + i];
    if x < NONE {
      total = add(total, x);
    }
    prefixes[to + i + 1u] = total;
  }
}
