// What of a block stays, as it is stored, and 0 for the rest; a thread to a weight.
struct Params {
  length: u32,
  cols: u32,
  pruned: u32,
  rounds: u32,
  w_offset: u32,
  rank_offset: u32,
  values_offset: u32,
  kept_offset: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> rank: array<u32>; // rows × cols
@group(0) @binding(2) var<storage, read_write> values: array<f32>; // rows × cols
@group(0) @binding(3) var<storage, read_write> kept: array<u32>; // rows × cols
@group(0) @binding(4) var<storage, read_write> largest: array<u32>; // rows
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.length) {
    return;
  }
  let stays = rank[params.rank_offset + i] >= params.pruned;
  var value = select(0.0, w[params.w_offset + i], stays);
  if (params.rounds != 0u) {
    value = stored(value, unit_of(largest[i / params.cols]));
  }
  values[params.values_offset + i] = value;
  kept[params.kept_offset + i] = u32(stays);
}
