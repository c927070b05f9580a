// The same number everywhere.
struct Params {
  length: u32,
  at: u32,
  value: u32,
}

@group(0) @binding(0) var<storage, read_write> result: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i < params.length {
    result[params.at + i] = params.value;
  }
}
