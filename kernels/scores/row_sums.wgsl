// Sums a function of the weights of each row, a workgroup to a row.
const ABSOLUTE = 0u;
// (x − mean)² of x = |w|·(1/Σrow + 1/Σcol); any other mode sums x.
const SQUARES = 2u;

struct Params {
  rows: u32,
  cols: u32,
  at: u32,
  mode: u32,
  row_sums_at: u32,
  column_sums_at: u32,
  mean_at: u32,
  to: u32,
  // 1: sums alone; 2: pairs of floats.
  stride: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> row_sums: array<f32>;
@group(0) @binding(2) var<storage, read> column_sums: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> partial: array<vec2f, 64>;

fn reciprocal(x: f32) -> f32 {
  if x > 0.0 {
    return 1.0 / x;
  }
  return 0.0;
}

@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = group.x + group.y * groups.x;
  var sum = vec2f(0.0);
  if row < params.rows {
    var by_row = 0.0;
    if params.mode != ABSOLUTE {
      by_row = reciprocal(row_sums[params.row_sums_at + row]);
    }
    for (var col = lane; col < params.cols; col += 64u) {
      var x = abs(w[params.at + row * params.cols + col]);
      if params.mode != ABSOLUTE {
        x *= by_row + reciprocal(column_sums[params.column_sums_at + col]);
      }
      if params.mode == SQUARES {
        x -= mean[params.mean_at];
        x *= x;
      }
      sum = add(sum, x);
    }
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if lane < half {
      partial[lane] = plus(partial[lane], partial[lane + half]);
    }
    workgroupBarrier();
  }
  if lane > 0u || row >= params.rows {
    return;
  }
  let to = params.to + row * params.stride;
  sums[to] = partial[0].x;
  if params.stride == 2u {
    sums[to + 1u] = partial[0].y;
  }
}
