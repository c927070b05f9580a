// Rounds over mean and scales of one group of one row, from its forms, while weights leave level by level; see
// alternate.ts. One lane a row, one workgroup line a group.

override THREADS: u32 = 64;
const FORMS = 9u;
const EPSILON = vec2f(1e-10, 0);

struct Params {
  rows: u32,
  first_group: u32,
  salient: u32,
  steps: u32,
  iterations: u32,
  stride: u32,
  scales_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> scales: array<f32>; // rows × stride
@group(0) @binding(1) var<storage, read_write> forms: array<vec2f>; // groups × steps × FORMS × rows of this dispatch
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) {
    return;
  }
  let group = id.y + params.first_group;
  let second = group == 0u;
  let level_size = FORMS * params.rows;
  let first = group * params.steps * level_size + id.x;
  // Each level's forms become those of all weights up to it.
  for (var level = 1u; level < params.steps; level++) {
    for (var form = 0u; form < select(5u, FORMS, second); form++) {
      let at = first + level * level_size + form * params.rows;
      forms[at] = plus(forms[at], forms[at - level_size]);
    }
  }
  var base = params.scales_offset + id.x * params.stride;
  if (!second) {
    base += 3u * params.salient + 2u * (group - 1u);
  }
  var mean = vec2f(scales[base], 0);
  var one = vec2f(scales[base + 1u], 0);
  var two = vec2f();
  if (second) {
    two.x = scales[base + 2u];
  }
  for (var step = 0u; step < params.steps; step++) {
    let at = first + (params.steps - 1u - step) * level_size;
    let by_m = over(vec2f(1, 0), plus(forms[at], EPSILON));
    let mx = forms[at + params.rows];
    let mb = forms[at + 2u * params.rows];
    let bx = forms[at + 3u * params.rows];
    let by_b = over(vec2f(1, 0), plus(forms[at + 4u * params.rows], EPSILON));
    if (!second) {
      for (var t = 0u; t < params.iterations; t++) {
        mean = times(plus(mx, -times(one, mb)), by_m);
        one = times(plus(bx, -times(mean, mb)), by_b);
      }
      continue;
    }
    let mc = forms[at + 5u * params.rows];
    let cx = forms[at + 6u * params.rows];
    let bc = forms[at + 7u * params.rows];
    let by_c = over(vec2f(1, 0), plus(forms[at + 8u * params.rows], EPSILON));
    for (var t = 0u; t < params.iterations; t++) {
      mean = times(plus(mx, -plus(times(one, mb), times(two, mc))), by_m);
      one = times(plus(bx, -plus(times(mean, mb), times(two, bc))), by_b);
      two = times(plus(cx, -plus(times(mean, mc), times(one, bc))), by_c);
    }
  }
  scales[base] = mean.x;
  scales[base + 1u] = one.x;
  if (second) {
    scales[base + 2u] = two.x;
  }
}
