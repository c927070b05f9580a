// Squared error of one side of a row, the leading columns or the rest, for one number of leading columns, when that side
// is binarized with an order-2 residual. A thread to a row, number and side: no sums are shared, so none cancel.
struct Params {
  rows: u32,
  cols: u32,
  // Numbers that are tried: 1..limit.
  limit: u32,
}

// rows × 2·limit: leading columns, then the rest.
@group(0) @binding(0) var<storage, read_write> errors: array<f32>;
// See salient_rows.wgsl.
@group(0) @binding(1) var<storage, read> seen: array<vec2f>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.limit * 2u {
    return;
  }
  let row = i / (2u * params.limit);
  let column = i - row * 2u * params.limit;
  let leads = column < params.limit;
  let cut = counts[row * (params.limit + 1u) + select(column - params.limit, column, leads)];
  let all = counts[row * (params.limit + 1u) + params.limit];
  // From the ends, so that neighbouring threads read the same.
  let step = select(-1, 1, leads);
  let first = i32(row * params.cols + select(all - 1u, 0u, leads));
  let length = i32(select(all - cut, cut, leads));
  if length == 0 {
    errors[i] = 0.0;
    return;
  }

  let count = f32(length);
  var sum = vec2f(0.0);
  for (var j = 0; j < length; j += 1) {
    sum = add(sum, seen[first + step * j].x);
  }
  let mean = over(sum, vec2f(count, 0.0));
  var positive = 0.0;
  var sizes = vec2f(0.0);
  for (var j = 0; j < length; j += 1) {
    let d = (seen[first + step * j].x - mean.x) - mean.y;
    positive += select(0.0, 1.0, d >= 0.0);
    sizes = add(sizes, abs(d));
  }
  let scale = sizes.x / count;
  let shift = -scale * (2.0 * positive - count) / count;
  var rest = vec2f(0.0);
  for (var j = 0; j < length; j += 1) {
    let d = (seen[first + step * j].x - mean.x) - mean.y;
    rest = add(rest, abs(d - select(-scale, scale, d >= 0.0) - shift));
  }
  let second = rest.x / count;
  var error = vec2f(0.0);
  for (var j = 0; j < length; j += 1) {
    let x = seen[first + step * j];
    let d = (x.x - mean.x) - mean.y;
    let off = abs(d - select(-scale, scale, d >= 0.0) - shift) - second;
    error = add(error, x.y * off * off);
  }
  errors[i] = error.x;
}
