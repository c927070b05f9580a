// Ranks values by how many bounds their place reaches; of equal values the earlier stands higher. A thread to a value
// of a window, which begins with a tile.
struct Params {
  length: u32,
  at: u32,
  bounds: u32,
  counts_at: u32,
  // Each value's rank is written `copies` times, `stride` apart.
  copies: u32,
  out_at: u32,
  stride: u32,
}

@group(0) @binding(0) var<storage, read_write> rank: array<u32>;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read> wanted: array<Wanted>;
// By tile and bound: equal values in the tiles after it.
@group(0) @binding(3) var<storage, read> equal_after: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.length {
    return;
  }
  let key = key_of(score[params.at + i]);
  var reached = 0u;
  var tied = false;
  var place = 0u;
  for (var b = 0u; b < params.bounds; b += 1u) {
    let bound = wanted[b];
    if bound.exists == 0u || bound.key > key {
      break;
    }
    if bound.key == key {
      if !tied {
        tied = true;
        place = bound.below + equal_after[params.counts_at + i / 256u * params.bounds + b];
        let end = min((i / 256u + 1u) * 256u, params.length);
        for (var j = i + 1u; j < end; j += 1u) {
          place += u32(key_of(score[params.at + j]) == key);
        }
      }
      if place < bound.place {
        break;
      }
    }
    reached += 1u;
  }
  for (var copy = 0u; copy < params.copies; copy += 1u) {
    rank[params.out_at + copy * params.stride + i] = reached;
  }
}
