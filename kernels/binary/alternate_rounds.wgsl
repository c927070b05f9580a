// Rounds over mean and scales of one group of one row, from its forms, while weights leave level by level; see
// alternate.ts. One lane a row, one workgroup line a group. Many rounds take several dispatches, which hand the scales on
// as pairs of floats.

override THREADS: u32 = 64;
const FORMS = 9u;
const EPSILON = vec2f(1e-10, 0);
const SLACK = vec2f(1, 1e-9);

struct Params {
  rows: u32,
  first_group: u32,
  salient: u32,
  steps: u32,
  iterations: u32,
  stride: u32,
  // Rounds of this dispatch, of steps × iterations in all.
  from_round: u32,
  to_round: u32,
  scales_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> scales: array<f32>; // rows × stride
@group(0) @binding(1) var<storage, read_write> forms: array<vec2f>; // groups × steps × FORMS × rows of this dispatch, then groups × 3 × rows
@group(0) @binding(2) var<uniform> params: Params;

// What is added to the forms of m, b and c with themselves; see `ridgeOf`.
fn ridge_of(at: u32, second: bool) -> vec2f {
  var largest = max(forms[at].x, forms[at + 4u * params.rows].x);
  if (second) { largest = max(largest, forms[at + 8u * params.rows].x); }
  var ridge = EPSILON;
  var share = 1e-6;
  for (var i = 0; i < 7 && !is_positive(at, second, ridge); i++) {
    ridge = plus(times(vec2f(share, 0), vec2f(largest, 0)), EPSILON);
    share *= 10;
  }
  return ridge;
}

// Whether the forms of m and b, and c, are those of a positive matrix, but for rounding.
fn is_positive(at: u32, second: bool, ridge: vec2f) -> bool {
  let mm = plus(forms[at], ridge);
  let bb = plus(forms[at + 4u * params.rows], ridge);
  if (mm.x <= 0 || bb.x <= 0) { return false; }
  let mb = forms[at + 2u * params.rows];
  let mb_m = over(mb, mm);
  let mb_b = over(mb, bb);
  let p = times(mb_m, mb_b);
  if (is_less(SLACK, p)) { return false; }
  if (!second) { return true; }
  let cc = plus(forms[at + 8u * params.rows], ridge);
  if (cc.x <= 0) { return false; }
  let mc = forms[at + 5u * params.rows];
  let bc = forms[at + 7u * params.rows];
  let mc_c = over(mc, cc);
  let bc_b = over(bc, bb);
  let q = times(over(mc, mm), mc_c);
  let r = times(bc_b, over(bc, cc));
  let all = plus(plus(p, plus(q, r)), -2 * times(mb_m, times(bc_b, mc_c)));
  return !is_less(SLACK, q) && !is_less(SLACK, r) && !is_less(SLACK, all);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) num_workgroups: vec3u) {
  if (id.x >= params.rows) {
    return;
  }
  let group = id.y + params.first_group;
  let second = group == 0u;
  let level_size = FORMS * params.rows;
  let first = group * params.steps * level_size + id.x;
  var base = params.scales_offset + id.x * params.stride;
  if (!second) {
    base += 3u * params.salient + 2u * (group - 1u);
  }
  var mean: vec2f;
  var one: vec2f;
  var two: vec2f;
  let groups = params.first_group + num_workgroups.y;
  let carried = groups * params.steps * level_size + 3u * group * params.rows + id.x;
  if (params.from_round == 0u) {
    // Each level's forms become those of all weights up to it.
    for (var level = 1u; level < params.steps; level++) {
      for (var form = 0u; form < select(5u, FORMS, second); form++) {
        let at = first + level * level_size + form * params.rows;
        forms[at] = plus(forms[at], forms[at - level_size]);
      }
    }
    mean.x = scales[base];
    one.x = scales[base + 1u];
    if (second) {
      two.x = scales[base + 2u];
    }
  } else {
    mean = forms[carried];
    one = forms[carried + params.rows];
    two = forms[carried + 2u * params.rows];
  }
  for (var round = params.from_round; round < params.to_round;) {
    let step = round / params.iterations;
    let end = min((step + 1u) * params.iterations, params.to_round);
    let at = first + (params.steps - 1u - step) * level_size;
    let ridge = ridge_of(at, second);
    let by_m = over(vec2f(1, 0), plus(forms[at], ridge));
    let mx = forms[at + params.rows];
    let mb = forms[at + 2u * params.rows];
    let bx = forms[at + 3u * params.rows];
    let by_b = over(vec2f(1, 0), plus(forms[at + 4u * params.rows], ridge));
    if (!second) {
      for (; round < end; round++) {
        mean = times(plus(mx, -times(one, mb)), by_m);
        one = times(plus(bx, -times(mean, mb)), by_b);
      }
      continue;
    }
    let mc = forms[at + 5u * params.rows];
    let cx = forms[at + 6u * params.rows];
    let bc = forms[at + 7u * params.rows];
    let by_c = over(vec2f(1, 0), plus(forms[at + 8u * params.rows], ridge));
    for (; round < end; round++) {
      mean = times(plus(mx, -plus(times(one, mb), times(two, mc))), by_m);
      one = times(plus(bx, -plus(times(mean, mb), times(two, bc))), by_b);
      two = times(plus(cx, -plus(times(mean, mc), times(one, bc))), by_c);
    }
  }
  if (params.to_round < params.steps * params.iterations) {
    forms[carried] = mean;
    forms[carried + params.rows] = one;
    forms[carried + 2u * params.rows] = two;
    return;
  }
  scales[base] = mean.x;
  scales[base + 1u] = one.x;
  if (second) {
    scales[base + 2u] = two.x;
  }
}
