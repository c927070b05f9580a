// Codes and scales of column blocks back to weights, a thread to a weight.
struct Params {
  rows: u32,
  cols: u32,
  out_at: u32,
  codes_at: u32,
  scales_at: u32,
  scales_per_row: u32,
  scales_per_block: u32,
  group_size: u32,
  salient: u32,
}

@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const KEPT = 1u;
const SIGN = 2u;
const SECOND_SIGN = 4u;
const GROUP_SHIFT = 3u;

fn signed(x: f32, positive: bool) -> f32 {
  return select(-x, x, positive);
}

fn value_of(code: u32, row: u32, block: u32) -> f32 {
  let group = code >> GROUP_SHIFT;
  if (code & KEPT) == 0u || (group == 0u && params.salient == 0u) {
    return 0.0;
  }
  let first = params.scales_at + row * params.scales_per_row + block * params.scales_per_block;
  let one = (code & SIGN) != 0u;
  if group > 0u {
    let at = first + 3u * params.salient + 2u * (group - 1u);
    return scales[at] + signed(scales[at + 1u], one);
  }
  let level = two_sum(scales[first], signed(scales[first + 1u], one));
  return add(level, signed(scales[first + 2u], (code & SECOND_SIGN) != 0u)).x;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i < params.rows * params.cols {
    let block = i % params.cols / params.group_size;
    result[params.out_at + i] = value_of(codes[params.codes_at + i], i / params.cols, block);
  }
}
