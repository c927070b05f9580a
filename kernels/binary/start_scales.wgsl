// First signs and scales, a thread to a row. Pairs of floats throughout: two weights of a group lie exactly on their
// levels, and their second signs are ties.
struct Params {
  rows: u32,
  cols: u32,
  segments: u32,
  salient: u32,
  pruned: u32,
  salient_pruned: u32,
  codes_at: u32,
  scales_at: u32,
  w_at: u32,
  rank_at: u32,
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> rank: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

const KEPT = 1u;
const SIGN = 2u;
const SECOND_SIGN = 4u;
const GROUP_SHIFT = 3u;

struct Level {
  count: f32,
  mean: vec2f,
  scale: vec2f,
  // Positive signs.
  positive: f32,
}

fn is_negative(x: vec2f) -> bool {
  return is_less(x, vec2f(0.0));
}

// Writes membership and signs of one group of a row.
fn binarize(group: u32, row: u32, pruned: u32) -> Level {
  let first = params.codes_at + row * params.cols;
  let w_first = params.w_at + row * params.cols;
  let rank_first = params.rank_at + row * params.cols;
  var level = Level(0.0, vec2f(0.0), vec2f(0.0), 0.0);
  for (var c = 0u; c < params.cols; c += 1u) {
    if codes[first + c] >> GROUP_SHIFT != group {
      continue;
    }
    let member = rank[rank_first + c] >= pruned;
    codes[first + c] = group << GROUP_SHIFT | select(0u, KEPT, member);
    if member {
      level.count += 1.0;
      level.mean = add(level.mean, w[w_first + c]);
    }
  }
  if level.count == 0.0 {
    return level;
  }
  let count = vec2f(level.count, 0.0);
  level.mean = over(level.mean, count);
  for (var c = 0u; c < params.cols; c += 1u) {
    let code = codes[first + c];
    if code >> GROUP_SHIFT != group || (code & KEPT) == 0u {
      continue;
    }
    let d = add(-level.mean, w[w_first + c]);
    if !is_negative(d) {
      codes[first + c] = code | SIGN;
      level.positive += 1.0;
    }
    level.scale = plus(level.scale, size_of(d));
  }
  level.scale = over(level.scale, count);
  return level;
}

// Binarizes what the first order leaves of the salient weights of a row.
fn binarize_rest(row: u32, level: Level) {
  let first = params.codes_at + row * params.cols;
  let scales_first = params.scales_at + row * (3u + 2u * params.segments);
  var mean = level.mean;
  var second = vec2f(0.0);
  if level.count > 0.0 {
    let count = vec2f(level.count, 0.0);
    // Mean of w − μ − α·sign: Σ(w − μ) is 0, so only the balance of signs is left.
    let balance = vec2f(2.0 * level.positive - level.count, 0.0);
    mean = plus(mean, -over(times(level.scale, balance), count));
    let low = plus(mean, -level.scale);
    let high = plus(mean, level.scale);
    for (var c = 0u; c < params.cols; c += 1u) {
      let code = codes[first + c];
      if code >> GROUP_SHIFT != 0u || (code & KEPT) == 0u {
        continue;
      }
      let d = add(-select(low, high, (code & SIGN) != 0u), w[params.w_at + row * params.cols + c]);
      if !is_negative(d) {
        codes[first + c] = code | SECOND_SIGN;
      }
      second = plus(second, size_of(d));
    }
    second = over(second, count);
  }
  scales[scales_first] = mean.x;
  scales[scales_first + 1u] = level.scale.x;
  scales[scales_first + 2u] = second.x;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if row >= params.rows {
    return;
  }
  let before = 3u * params.salient;
  let scales_first = params.scales_at + row * (before + 2u * params.segments) + before;
  for (var group = 0u; group <= params.segments; group += 1u) {
    let level = binarize(group, row, select(params.pruned, params.salient_pruned, group == 0u));
    if group > 0u {
      scales[scales_first + 2u * (group - 1u)] = level.mean.x;
      scales[scales_first + 2u * (group - 1u) + 1u] = level.scale.x;
    } else if params.salient == 1u {
      binarize_rest(row, level);
    }
  }
}
