// Codes and scales of refined groups back to weights; a thread to a weight.
struct Params {
  rows: u32,
  cols: u32,
  doubled: u32,
  single: u32,
  // 1: levels are products with column scales.
  products: u32,
  out_at: u32,
  codes_at: u32,
  scales_at: u32,
  columns_at: u32,
}

@group(0) @binding(0) var<storage, read_write> result: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> codes: array<u32>; // rows × cols
@group(0) @binding(2) var<storage, read> scales: array<f32>; // rows × scales of a row
@group(0) @binding(3) var<storage, read> columns: array<f32>; // cols × scales of a column; not read without products
@group(0) @binding(4) var<uniform> params: Params;

const SIGN = 2u;
const SECOND_SIGN = 4u;
const GROUP_SHIFT = 3u;

fn signed(x: vec2f, positive: bool) -> vec2f {
  return select(-x, x, positive);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroups: vec3u) {
  let i = id.x + id.y * workgroups.x * 64u;
  if i >= params.rows * params.cols {
    return;
  }
  let code = codes[params.codes_at + i];
  let group = code >> GROUP_SHIFT;
  let doubled = params.doubled;
  let is_first = (code & SIGN) != 0u;
  let is_second = (code & SECOND_SIGN) != 0u;
  // Places of one more scale than those of a product: the mean.
  let more = 1u - params.products;
  let place = (2u + more) * min(group, doubled) + (1u + more) * (max(group, doubled) - doubled);
  let row = params.scales_at + i / params.cols * ((2u + more) * doubled + (1u + more) * params.single) + place;
  if params.products == 0u {
    var level = two_sum(scales[row], select(-scales[row + 1u], scales[row + 1u], is_first));
    if group < doubled {
      level = add(level, select(-scales[row + 2u], scales[row + 2u], is_second));
    }
    result[params.out_at + i] = level.x;
    return;
  }
  let column = params.columns_at + i % params.cols * (2u * doubled + params.single) + place;
  var level = signed(two_product(scales[row], columns[column]), is_first);
  if group < doubled {
    level = plus(level, signed(two_product(scales[row + 1u], columns[column + 1u]), is_second));
  }
  result[params.out_at + i] = level.x;
}
