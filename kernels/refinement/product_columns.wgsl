// Column scales of one order from the row scales: sums over some rows, and after the last of them the quotients; a thread to a column.
struct Params {
  rows: u32,
  cols: u32,
  doubled: u32,
  single: u32,
  order: u32,
  // 1: no scales of this order are there yet.
  start: u32,
  codes_at: u32,
  w_at: u32,
  rows_at: u32,
  // Whether these are the first rows, and the last.
  begins: u32,
  ends: u32,
}

@group(0) @binding(0) var<storage, read> codes: array<u32>; // rows × cols
@group(0) @binding(1) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(2) var<storage, read> row_scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> column_scales: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec2f>; // cols × groups × 2
@group(0) @binding(5) var<uniform> params: Params;

const MOST_GROUPS = 8;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if c >= params.cols {
    return;
  }
  let doubled = params.doubled;
  let stride = 2u * doubled + params.single;
  let groups = doubled + params.single;
  var others: array<vec2f, MOST_GROUPS>;
  var above: array<vec2f, MOST_GROUPS>;
  var below: array<vec2f, MOST_GROUPS>;
  for (var g = 0u; g < doubled; g += 1u) {
    others[g] = column_scale(c, place_of(g, 1u - params.order, doubled), stride);
  }
  if params.begins == 0u {
    for (var g = 0u; g < groups; g += 1u) {
      above[g] = sums[2u * (c * groups + g)];
      below[g] = sums[2u * (c * groups + g) + 1u];
    }
  }
  for (var row = 0u; row < params.rows; row += 1u) {
    let code = codes[params.codes_at + row * params.cols + c];
    let group = code >> GROUP_SHIFT;
    if params.order == 1u && group >= doubled {
      continue;
    }
    var other = vec2f(0.0);
    if group < doubled {
      other = times(others[group], row_scale(row, place_of(group, 1u - params.order, doubled), stride, params.rows_at));
    }
    let rest = rest_of(w[params.w_at + row * params.cols + c], code, params.order, params.start, doubled, other);
    let target_value = along(rest, code, params.order, params.start);
    let by = row_scale(row, place_of(group, params.order, doubled), stride, params.rows_at);
    if params.start == 0u {
      above[group] = plus(above[group], times(by, target_value));
      below[group] = plus(below[group], times(by, by));
    } else if by.x > 0.0 {
      above[group] = plus(above[group], over(target_value, by));
      below[group] = add(below[group], 1.0);
    }
  }
  for (var g = 0u; g < groups; g += 1u) {
    sums[2u * (c * groups + g)] = above[g];
    sums[2u * (c * groups + g) + 1u] = below[g];
    if params.ends == 0u || (params.order == 1u && g >= doubled) {
      continue;
    }
    var scale = vec2f(0.0);
    if below[g].x > 0.0 {
      scale = over(above[g], below[g]);
    }
    let at = 2u * (c * stride + place_of(g, params.order, doubled));
    column_scales[at] = scale.x;
    column_scales[at + 1u] = scale.y;
  }
}
