// Codes back to weights, a thread to a weight; see round.ts.
struct Params {
  rows: u32,
  cols: u32,
  group_size: u32,
  is_sign: u32,
  out_at: u32,
  codes_at: u32,
  scales_at: u32,
  zeros_at: u32,
}

@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> zeros: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.cols {
    return;
  }
  let groups_of_row = (params.cols + params.group_size - 1u) / params.group_size;
  let group = i / params.cols * groups_of_row + i % params.cols / params.group_size;
  let scale = scales[params.scales_at + group];
  let code = i32(codes[params.codes_at + i]);
  if params.is_sign == 1u {
    result[params.out_at + i] = select(-scale, scale, code == 1);
    return;
  }
  result[params.out_at + i] = f32(code - i32(zeros[params.zeros_at + group])) * scale;
}
