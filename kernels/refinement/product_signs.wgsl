// Signs: at the start those of what each order meets, later the nearest level of two signs. A thread to a weight.
struct Params {
  rows: u32,
  cols: u32,
  doubled: u32,
  single: u32,
  order: u32,
  start: u32,
  codes_at: u32,
  w_at: u32,
  rows_at: u32,
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>; // rows × cols
@group(0) @binding(1) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(2) var<storage, read> row_scales: array<f32>;
@group(0) @binding(3) var<storage, read> column_scales: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroups: vec3u) {
  let i = id.x + id.y * workgroups.x * 64u;
  if i >= params.rows * params.cols {
    return;
  }
  let code = codes[params.codes_at + i];
  let group = code >> GROUP_SHIFT;
  let x = w[params.w_at + i];
  if params.start == 1u && params.order == 0u {
    codes[params.codes_at + i] = group << GROUP_SHIFT | KEPT | select(0u, SIGN, x >= 0.0);
    return;
  }
  let doubled = params.doubled;
  if group >= doubled {
    return;
  }
  let stride = 2u * doubled + params.single;
  let row = i / params.cols;
  let c = i % params.cols;
  let one = times(
    row_scale(row, place_of(group, 0u, doubled), stride, params.rows_at),
    column_scale(c, place_of(group, 0u, doubled), stride),
  );
  if params.start == 1u {
    let rest = rest_of(x, code, 1u, 1u, doubled, one);
    codes[params.codes_at + i] = code & ~SECOND_SIGN | select(SECOND_SIGN, 0u, is_less(rest, vec2f(0.0)));
    return;
  }
  let two = times(
    row_scale(row, place_of(group, 1u, doubled), stride, params.rows_at),
    column_scale(c, place_of(group, 1u, doubled), stride),
  );
  let low = add(one, x);
  let high = add(-one, x);
  var signs = 0u;
  var least = size_of(plus(low, two));
  var next = size_of(plus(low, -two));
  if is_less(next, least) {
    signs = SECOND_SIGN;
    least = next;
  }
  next = size_of(plus(high, two));
  if is_less(next, least) {
    signs = SIGN;
    least = next;
  }
  if is_less(size_of(plus(high, -two)), least) {
    signs = SIGN | SECOND_SIGN;
  }
  codes[params.codes_at + i] = group << GROUP_SHIFT | KEPT | signs;
}
