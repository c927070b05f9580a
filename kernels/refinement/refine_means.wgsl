// One round of refined binarization with means: mean and scales from the signs so far, then signs anew; or, at the start, residual
// binarization. A thread to a row; pairs of floats throughout, as weights lie on the bounds between levels.
struct Params {
  rows: u32,
  cols: u32,
  doubled: u32,
  single: u32,
  // 1: no signs are there yet.
  start: u32,
  codes_at: u32,
  scales_at: u32,
  w_at: u32,
  state_at: u32,
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>; // rows × cols
@group(0) @binding(1) var<storage, read_write> scales: array<f32>; // rows × scales of a row
@group(0) @binding(2) var<storage, read_write> state: array<f32>; // rows × groups × 6: mean, scale, second scale as pairs
@group(0) @binding(3) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(4) var<uniform> params: Params;

const KEPT = 1u;
const SIGN = 2u;
const SECOND_SIGN = 4u;
const GROUP_SHIFT = 3u;
const MOST_GROUPS = 8;

fn load(at: u32) -> vec2f {
  return vec2f(state[at], state[at + 1u]);
}

fn keep(at: u32, x: vec2f) {
  state[at] = x.x;
  state[at + 1u] = x.y;
}

fn sign_of(code: u32, bit: u32) -> f32 {
  return select(-1.0, 1.0, (code & bit) != 0u);
}

fn signed(x: vec2f, positive: bool) -> vec2f {
  return select(-x, x, positive);
}

// Signs whose level ±one ± two is nearest to x; of equal ones −−, then −+, then +−.
fn nearest(x: vec2f, one: vec2f, two: vec2f) -> u32 {
  let low = plus(x, one);
  let high = plus(x, -one);
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
  return signs;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroups: vec3u) {
  let row = id.x + id.y * workgroups.x * 64u;
  if row >= params.rows {
    return;
  }
  let doubled = params.doubled;
  let groups = doubled + params.single;
  let first = params.codes_at + row * params.cols;
  let w_first = params.w_at + row * params.cols;
  let own = params.state_at + row * groups * 6u;
  var count: array<f32, MOST_GROUPS>;
  var sum: array<vec2f, MOST_GROUPS>;
  var mean: array<vec2f, MOST_GROUPS>;
  var one: array<vec2f, MOST_GROUPS>;
  var two: array<vec2f, MOST_GROUPS>;
  // Sums of first signs, second signs, their products; of values with either sign.
  var a: array<f32, MOST_GROUPS>;
  var b: array<f32, MOST_GROUPS>;
  var both: array<f32, MOST_GROUPS>;
  var ax: array<vec2f, MOST_GROUPS>;
  var bx: array<vec2f, MOST_GROUPS>;
  for (var c = 0u; c < params.cols; c += 1u) {
    let code = codes[first + c];
    let group = code >> GROUP_SHIFT;
    let x = w[w_first + c];
    count[group] += 1.0;
    sum[group] = add(sum[group], x);
    if params.start == 0u {
      let p = sign_of(code, SIGN);
      let q = sign_of(code, SECOND_SIGN);
      a[group] += p;
      b[group] += q;
      both[group] += p * q;
      ax[group] = add(ax[group], p * x);
      bx[group] = add(bx[group], q * x);
    }
  }
  if params.start == 1u {
    for (var g = 0u; g < groups; g += 1u) {
      if count[g] > 0.0 {
        mean[g] = over(sum[g], vec2f(count[g], 0.0));
      }
    }
    for (var c = 0u; c < params.cols; c += 1u) {
      let group = codes[first + c] >> GROUP_SHIFT;
      let d = add(-mean[group], w[w_first + c]);
      let below = is_less(d, vec2f(0.0));
      one[group] = plus(one[group], size_of(d));
      a[group] += select(1.0, -1.0, below);
      codes[first + c] = group << GROUP_SHIFT | KEPT | select(SIGN, 0u, below);
    }
    for (var g = 0u; g < groups; g += 1u) {
      if count[g] > 0.0 {
        let n = vec2f(count[g], 0.0);
        one[g] = over(one[g], n);
        if g < doubled {
          // Mean of what the first sign leaves: the deviations' sum is 0, so only the balance of signs is left.
          mean[g] = plus(mean[g], -over(times(one[g], vec2f(a[g], 0.0)), n));
        }
      }
    }
    for (var c = 0u; c < params.cols; c += 1u) {
      let code = codes[first + c];
      let group = code >> GROUP_SHIFT;
      if group >= doubled {
        continue;
      }
      let level = plus(mean[group], signed(one[group], (code & SIGN) != 0u));
      let rest = add(-level, w[w_first + c]);
      two[group] = plus(two[group], size_of(rest));
      if !is_less(rest, vec2f(0.0)) {
        codes[first + c] = code | SECOND_SIGN;
      }
    }
    for (var g = 0u; g < doubled; g += 1u) {
      if count[g] > 0.0 {
        two[g] = over(two[g], vec2f(count[g], 0.0));
      }
    }
  } else {
    for (var g = 0u; g < groups; g += 1u) {
      if count[g] == 0.0 {
        continue;
      }
      let n = vec2f(count[g], 0.0);
      let balance = vec2f(a[g], 0.0);
      one[g] = load(own + 6u * g + 2u);
      if g >= doubled {
        mean[g] = over(plus(sum[g], -times(one[g], balance)), n);
        one[g] = over(plus(ax[g], -times(mean[g], balance)), n);
        continue;
      }
      let second = vec2f(b[g], 0.0);
      two[g] = load(own + 6u * g + 4u);
      mean[g] = over(plus(sum[g], -plus(times(one[g], balance), times(two[g], second))), n);
      one[g] = over(plus(ax[g], -plus(times(mean[g], balance), times(two[g], vec2f(both[g], 0.0)))), n);
      two[g] = over(plus(bx[g], -plus(times(mean[g], second), times(one[g], vec2f(both[g], 0.0)))), n);
    }
    for (var c = 0u; c < params.cols; c += 1u) {
      let group = codes[first + c] >> GROUP_SHIFT;
      let x = add(-mean[group], w[w_first + c]);
      var signs = select(SIGN, 0u, is_less(x, vec2f(0.0)));
      if group < doubled {
        signs = nearest(x, one[group], two[group]);
      }
      codes[first + c] = group << GROUP_SHIFT | KEPT | signs;
    }
  }
  var at = params.scales_at + row * (3u * doubled + 2u * params.single);
  for (var g = 0u; g < groups; g += 1u) {
    keep(own + 6u * g, mean[g]);
    keep(own + 6u * g + 2u, one[g]);
    keep(own + 6u * g + 4u, two[g]);
    scales[at] = mean[g].x;
    scales[at + 1u] = one[g].x;
    at += 2u;
    if g < doubled {
      scales[at] = two[g].x;
      at += 1u;
    }
  }
}
