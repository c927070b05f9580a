// Which scores take part in a search, three ways: as what is sorted, as what percentiles are taken of, and as which of
// these count. A thread to a score.
struct Params {
  rows: u32,
  cols: u32,
  // What a searched column's mark is.
  wanted: u32,
  pruned: u32,
  // 1: percentiles are taken of scores above 0 that take part only.
  positive: u32,
  values_at: u32,
  salient_at: u32,
  rank_at: u32,
  keys_at: u32,
  sizes_at: u32,
  counted_at: u32,
}

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> salient: array<u32>;
@group(0) @binding(2) var<storage, read> rank: array<u32>;
@group(0) @binding(3) var<storage, read_write> keys: array<f32>;
@group(0) @binding(4) var<storage, read_write> sizes: array<f32>;
@group(0) @binding(5) var<storage, read_write> counted: array<u32>;
@group(0) @binding(6) var<uniform> params: Params;

// As in the other shaders of the search: behind every score.
const NONE = 3.4028234e38;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.cols {
    return;
  }
  let is_part = salient[params.salient_at + i % params.cols] == params.wanted &&
    rank[params.rank_at + i] >= params.pruned;
  let size = abs(values[params.values_at + i]);
  keys[params.keys_at + i] = select(NONE, size, is_part);
  sizes[params.sizes_at + i] = select(0.0, size, is_part);
  counted[params.counted_at + i] = u32(params.positive == 0u || (is_part && size > 0.0));
}
