// Row scales of one order from the column scales; a thread to a row.
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
}

@group(0) @binding(0) var<storage, read> codes: array<u32>; // rows × cols
@group(0) @binding(1) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(2) var<storage, read_write> row_scales: array<f32>;
@group(0) @binding(3) var<storage, read> column_scales: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const MOST_GROUPS = 8;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroups: vec3u) {
  let row = id.x + id.y * workgroups.x * 64u;
  if row >= params.rows {
    return;
  }
  let doubled = params.doubled;
  let stride = 2u * doubled + params.single;
  var others: array<vec2f, MOST_GROUPS>;
  for (var g = 0u; g < doubled; g += 1u) {
    others[g] = row_scale(row, place_of(g, 1u - params.order, doubled), stride, params.rows_at);
  }
  var above: array<vec2f, MOST_GROUPS>;
  var below: array<vec2f, MOST_GROUPS>;
  for (var c = 0u; c < params.cols; c += 1u) {
    let code = codes[params.codes_at + row * params.cols + c];
    let group = code >> GROUP_SHIFT;
    if params.order == 1u && group >= doubled {
      continue;
    }
    var other = vec2f(0.0);
    if group < doubled {
      other = times(others[group], column_scale(c, place_of(group, 1u - params.order, doubled), stride));
    }
    let rest = rest_of(w[params.w_at + row * params.cols + c], code, params.order, params.start, doubled, other);
    let target_value = along(rest, code, params.order, params.start);
    if params.start == 1u {
      above[group] = plus(above[group], target_value);
      below[group] = add(below[group], 1.0);
    } else {
      let by = column_scale(c, place_of(group, params.order, doubled), stride);
      above[group] = plus(above[group], times(by, target_value));
      below[group] = plus(below[group], times(by, by));
    }
  }
  let last = select(doubled + params.single, doubled, params.order == 1u);
  for (var g = 0u; g < last; g += 1u) {
    var scale = vec2f(0.0);
    if below[g].x > 0.0 {
      scale = over(above[g], below[g]);
    }
    let at = params.rows_at + 2u * (row * stride + place_of(g, params.order, doubled));
    row_scales[at] = scale.x;
    row_scales[at + 1u] = scale.y;
  }
}
