// Scores of one column block, a thread to a weight; exact to the last rounding, so that masks are those of float64.
const SQUARED = 0u;
const SCALED = 1u;
const RIA = 2u;
const SI = 3u;
const RANDOM = 4u;

struct Params {
  rows: u32,
  cols: u32,
  metric: u32,
  out_at: u32,
  w_at: u32,
  vector_at: u32,
  row_sums_at: u32,
  column_sums_at: u32,
  moments_at: u32,
  seed: u32,
  first_column: u32,
  first_row: u32,
  // 1: every entry of the vector is 1.
  plain: u32,
}

@group(0) @binding(0) var<storage, read_write> score: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> vector: array<f32>;
@group(0) @binding(3) var<storage, read> row_sums: array<f32>;
@group(0) @binding(4) var<storage, read> column_sums: array<f32>;
@group(0) @binding(5) var<storage, read> moments: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

// MurmurHash3's 32-bit finaliser, on an input moved away from its fixed point 0.
fn mix_bits(x: u32) -> u32 {
  var h = x + 0x9e3779b9u;
  h = (h ^ (h >> 16u)) * 0x85ebca6bu;
  h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
  return h ^ (h >> 16u);
}

fn reciprocal(x: f32) -> vec2f {
  if x > 0.0 {
    return over(vec2f(1.0, 0.0), vec2f(x, 0.0));
  }
  return vec2f(0.0);
}

// |w|/Σrow + |w|/Σcol
fn relative(x: f32, row: u32, col: u32) -> vec2f {
  let factor = plus(
    reciprocal(row_sums[params.row_sums_at + row]),
    reciprocal(column_sums[params.column_sums_at + col]),
  );
  return times(vec2f(x, 0.0), factor);
}

fn score_of(x: f32, row: u32, col: u32) -> f32 {
  if params.metric == RANDOM {
    let mixed = mix_bits(mix_bits(params.seed) ^ row);
    return f32(mix_bits(mixed ^ (params.first_column + col)) >> 8u) / 16777216.0;
  }
  if params.plain == 1u {
    return x;
  }
  let v = vector[params.vector_at + col];
  switch params.metric {
    case SQUARED: {
      let quotient = over(vec2f(x, 0.0), vec2f(v, 0.0));
      return times(quotient, quotient).x;
    }
    case SCALED: {
      return x * v;
    }
    case RIA: {
      return times(relative(x, row, col), vec2f(root(v).x, 0.0)).x;
    }
    default: {
      let deviation = moments[params.moments_at + 1u];
      let spread = select(1.0, deviation, deviation > 0.0);
      let factor = over(vec2f(v, 0.0), vec2f(spread, 0.0)).x;
      return times(add(relative(x, row, col), -moments[params.moments_at]), vec2f(factor, 0.0)).x;
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i < params.rows * params.cols {
    let row = i / params.cols;
    let col = i - row * params.cols;
    score[params.out_at + i] = score_of(abs(w[params.w_at + i]), params.first_row + row, col);
  }
}
