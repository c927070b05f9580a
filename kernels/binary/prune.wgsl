// Takes what is bound to be pruned out of the codes, a thread to a weight.
struct Params {
  length: u32,
  codes_at: u32,
  rank_at: u32,
  pruned: u32,
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>;
@group(0) @binding(1) var<storage, read> rank: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const GROUP_BITS = 0xfffffff8u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i < params.length && rank[params.rank_at + i] < params.pruned {
    codes[params.codes_at + i] &= GROUP_BITS;
  }
}
