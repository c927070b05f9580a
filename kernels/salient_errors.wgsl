// Squared error of one side of a row, the leading columns or the rest, for one number of leading columns, when that side
// is binarized with an order-2 residual. A thread to a row, number and side: no sums are shared, so none cancel.
struct Params {
  zero: u32,
  rows: u32,
  cols: u32,
  // Numbers that are tried: 1..limit.
  limit: u32,
  first_row: u32,
  pruned: u32,
  weighted: u32,
  values_at: u32,
  rank_at: u32,
  weight_at: u32,
}

// rows × 2·limit: leading columns, then the rest.
@group(0) @binding(0) var<storage, read_write> errors: array<f32>;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> rank: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> places: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.limit * 2u {
    return;
  }
  let row = i / (2u * params.limit);
  let column = i - row * 2u * params.limit;
  let leads = column < params.limit;
  let number = select(column - params.limit, column, leads) + 1u;
  let first = params.values_at + (params.first_row + row) * params.cols;
  let rank_first = params.rank_at + (params.first_row + row) * params.cols;

  var count = 0.0;
  var sum = vec2f(0.0);
  for (var c = 0u; c < params.cols; c += 1u) {
    if (places[c] < number) == leads && rank[rank_first + c] >= params.pruned {
      count += 1.0;
      sum = add(sum, values[first + c]);
    }
  }
  if count == 0.0 {
    errors[i] = 0.0;
    return;
  }
  let mean = over(sum, vec2f(count, 0.0));
  var positive = 0.0;
  var sizes = vec2f(0.0);
  for (var c = 0u; c < params.cols; c += 1u) {
    if (places[c] < number) == leads && rank[rank_first + c] >= params.pruned {
      let d = (values[first + c] - mean.x) - mean.y;
      positive += select(0.0, 1.0, d >= 0.0);
      sizes = add(sizes, abs(d));
    }
  }
  let scale = sizes.x / count;
  let shift = -scale * (2.0 * positive - count) / count;
  var rest = vec2f(0.0);
  for (var c = 0u; c < params.cols; c += 1u) {
    if (places[c] < number) == leads && rank[rank_first + c] >= params.pruned {
      let d = (values[first + c] - mean.x) - mean.y;
      rest = add(rest, abs(d - select(-scale, scale, d >= 0.0) - shift));
    }
  }
  let second = rest.x / count;
  var error = vec2f(0.0);
  for (var c = 0u; c < params.cols; c += 1u) {
    if (places[c] < number) == leads && rank[rank_first + c] >= params.pruned {
      let d = (values[first + c] - mean.x) - mean.y;
      let off = abs(d - select(-scale, scale, d >= 0.0) - shift) - second;
      var factor = 1.0;
      if params.weighted == 1u {
        factor = weight[params.weight_at + c];
      }
      error = add(error, factor * off * off);
    }
  }
  errors[i] = error.x;
}
