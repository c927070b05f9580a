// Counts, in each tile of 256 values, those that equal the key of each bound. A thread to a value of a window, which
// begins with a tile.
struct Params {
  length: u32,
  at: u32,
  bounds: u32,
  counts_at: u32,
}

@group(0) @binding(0) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read> wanted: array<Wanted>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.length {
    return;
  }
  let key = key_of(score[params.at + i]);
  for (var b = 0u; b < params.bounds; b += 1u) {
    if wanted[b].exists == 1u && wanted[b].key == key {
      atomicAdd(&counts[params.counts_at + i / 256u * params.bounds + b], 1u);
      return;
    }
  }
}
