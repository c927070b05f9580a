// Adds up the chunks of segment_gains.wgsl. A thread to a pair of bounds.
struct Params {
  // width²
  length: u32,
  chunks: u32,
}

@group(0) @binding(0) var<storage, read> gains: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> totals: array<vec2f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.length {
    return;
  }
  var total = totals[i];
  for (var chunk = 0u; chunk < params.chunks; chunk += 1u) {
    total = plus(total, gains[chunk * params.length + i]);
  }
  totals[i] = total;
}
