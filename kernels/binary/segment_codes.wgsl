// The group of each weight: 0 in salient columns, else 1 + how many cuts are <= |w|. A thread to a weight.
struct Params {
  rows: u32,
  cols: u32,
  cuts: u32,
  w_at: u32,
  salient_at: u32,
  out_at: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> salient: array<u32>;
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
  var group = 0u;
  if salient[params.salient_at + i % params.cols] == 0u {
    group = 1u;
    let size = abs(w[params.w_at + i]);
    for (var k = 0u; k < params.cuts; k += 1u) {
      group += u32(size >= cuts[k]);
    }
  }
  codes[params.out_at + i] = group << GROUP_SHIFT;
}
