// The group of each score in the columns that are searched. A thread to a score.
struct Params {
  rows: u32,
  cols: u32,
  // What a searched column's mark is.
  wanted: u32,
  // Group of the lowest segment.
  first: u32,
  values_at: u32,
  salient_at: u32,
  codes_at: u32,
}

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> salient: array<u32>;
// Two.
@group(0) @binding(2) var<storage, read> cuts: array<f32>;
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

const GROUP_SHIFT = 3u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.cols {
    return;
  }
  if salient[params.salient_at + i % params.cols] == params.wanted {
    let size = abs(values[params.values_at + i]);
    codes[params.codes_at + i] = (params.first + u32(size >= cuts[0]) + u32(size >= cuts[1])) << GROUP_SHIFT;
  } else if params.wanted == 0u {
    codes[params.codes_at + i] = 0u;
  }
}
