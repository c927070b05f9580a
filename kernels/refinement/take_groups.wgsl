// Some groups as codes of their own, numbered from 0; 0 elsewhere. A thread to a weight.
struct Params {
  count: u32,
  first: u32,
  groups: u32,
  codes_at: u32,
  out_at: u32,
}

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const GROUP_SHIFT = 3u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroups: vec3u) {
  let i = id.x + id.y * workgroups.x * 64u;
  if i >= params.count {
    return;
  }
  let code = codes[params.codes_at + i];
  let group = code >> GROUP_SHIFT;
  let is_taken = group >= params.first && group < params.first + params.groups;
  out[params.out_at + i] = select(0u, code - (params.first << GROUP_SHIFT), is_taken);
}
