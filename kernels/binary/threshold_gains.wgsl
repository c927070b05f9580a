// How much of the squared error of a row's sorted scores goes when they are cut at a candidate, or at it and its double,
// and each segment is binarized. A thread to a row and a candidate.
struct Params {
  rows: u32,
  cols: u32,
  candidates: u32,
  // 1 or 2.
  order: u32,
  doubled: u32,
}

@group(0) @binding(0) var<storage, read> sorted: array<f32>;
// rows × (cols + 1), from threshold_prefixes.wgsl.
@group(0) @binding(1) var<storage, read> prefixes: array<vec2f>;
@group(0) @binding(2) var<storage, read> levels: array<f32>;
// rows × 2·candidates: leading parts, then what they leave.
@group(0) @binding(3) var<storage, read_write> gains: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const NONE = 3.4028234e38;

// First place of a row, from..to, whose score is not below a bound.
fn place(line: u32, start: u32, end: u32, bound: vec2f) -> u32 {
  var low = start;
  var high = end;
  while low < high {
    let middle = (low + high) / 2u;
    if is_less(vec2f(sorted[line + middle], 0.0), bound) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  return low;
}

fn whole(x: u32) -> vec2f {
  return vec2f(f32(x), 0.0);
}

fn sum_of(sums: u32, start: u32, end: u32) -> vec2f {
  return plus(prefixes[sums + end], -prefixes[sums + start]);
}

fn level_gain(level: vec2f, count: u32, sum: vec2f) -> vec2f {
  return times(level, plus(2.0 * sum, -times(whole(count), level)));
}

fn gain_of(line: u32, sums: u32, start: u32, end: u32) -> vec2f {
  if start == end {
    return vec2f(0.0);
  }
  let n = whole(end - start);
  let sum = sum_of(sums, start, end);
  let mean = over(sum, n);
  let k = place(line, start, end, mean);
  let n0 = whole(k - start);
  let away = 2.0 * plus(times(n0, mean), -sum_of(sums, start, k));
  if params.order == 1u {
    return plus(times(sum, mean), over(times(away, away), n));
  }
  let scale = over(away, n);
  let shift = over(times(scale, plus(2.0 * n0, -n)), n);
  let low = plus(plus(mean, -scale), shift);
  let high = plus(plus(mean, scale), shift);
  let i = place(line, start, k, low);
  let j = place(line, k, end, high);
  let s0 = sum_of(sums, start, i);
  let s1 = sum_of(sums, i, k);
  let s2 = sum_of(sums, k, j);
  let s3 = sum_of(sums, j, end);
  let below = plus(plus(times(whole(i - start), low), -s0), plus(s1, -times(whole(k - i), low)));
  let above = plus(plus(times(whole(j - k), high), -s2), plus(s3, -times(whole(end - j), high)));
  let second = over(plus(below, above), n);
  return plus(
    plus(level_gain(plus(low, -second), i - start, s0), level_gain(plus(low, second), k - i, s1)),
    plus(level_gain(plus(high, -second), j - k, s2), level_gain(plus(high, second), end - j, s3)),
  );
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.candidates {
    return;
  }
  let row = i / params.candidates;
  let candidate = i % params.candidates;
  let line = row * params.cols;
  let sums = row * (params.cols + 1u);
  let end = place(line, 0u, params.cols, vec2f(NONE, 0.0));
  let level = levels[candidate];
  let cut = place(line, 0u, end, vec2f(level, 0.0));
  var gain = gain_of(line, sums, 0u, cut);
  var last = cut;
  if params.doubled == 1u {
    last = place(line, cut, end, vec2f(2.0 * level, 0.0));
    gain = plus(gain, gain_of(line, sums, cut, last));
  }
  gain = plus(gain, gain_of(line, sums, last, end));
  gains[row * 2u * params.candidates + candidate] = gain.x;
  gains[row * 2u * params.candidates + params.candidates + candidate] = gain.y;
}
