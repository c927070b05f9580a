// Quadratic forms under S of mask, signs, second signs and weights of each group and level of a row; see alternate.ts.
// One workgroup a row, one lane a member in the order of `member_lists.wgsl`: a pair belongs to the later one.

override THREADS: u32 = 64;
const FORMS = 9u;

struct Params {
  rows: u32,
  cols: u32,
  // Members: those beyond the last are skipped.
  begin: u32,
  end: u32,
  segments: u32,
  steps: u32,
  w_offset: u32,
  gram_offset: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> gram: array<f32>; // cols × cols
@group(0) @binding(2) var<storage, read> members: array<u32>; // rows × (groups × steps + 1 + cols)
@group(0) @binding(3) var<storage, read_write> forms: array<vec2f>; // groups × steps × FORMS × rows of this dispatch
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> parts: array<vec2f, THREADS * FORMS>;

fn sign(code: u32, bit: u32) -> f32 {
  return select(-1.0, 1.0, (code & bit) != 0u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let cols = params.cols;
  let row = workgroup.x;
  let lists = (params.segments + 1u) * params.steps;
  let ends = row * (lists + 1u + cols);
  let first = ends + lists + 1u;
  let count = members[ends + lists];
  for (var start = params.begin; start < params.end; start += THREADS) {
    let member = start + lane;
    if (member < count) {
      let code = members[first + member];
      let col = code >> 14u;
      let group = ((code >> 3u) & 2047u) / params.steps;
      let line = params.gram_offset + col * cols;
      // Sums over the members of the group before this one: s, s·b, s·x and s·c.
      var m = vec2f();
      var b = vec2f();
      var x = vec2f();
      var c = vec2f();
      for (var i = members[ends + group * params.steps]; i < member; i++) {
        let met = members[first + i];
        let s = gram[line + (met >> 14u)];
        m = add(m, s);
        b = add(b, s * sign(met, 2u));
        x = plus(x, two_product(s, w[params.w_offset + row * cols + (met >> 14u)]));
        if (group == 0u) {
          c = add(c, s * sign(met, 4u));
        }
      }
      let s = vec2f(gram[line + col], 0);
      let own_x = vec2f(w[params.w_offset + row * cols + col], 0);
      let own_b = sign(code, 2u);
      // What the own weight meets: s·x with itself, once.
      let met = plus(x, times(s, own_x));
      parts[lane] = plus(2 * m, s);
      parts[THREADS + lane] = plus(times(m, own_x), met);
      parts[2u * THREADS + lane] = plus(own_b * plus(m, s), b);
      parts[3u * THREADS + lane] = plus(times(b, own_x), own_b * met);
      parts[4u * THREADS + lane] = plus(2 * own_b * b, s);
      if (group == 0u) {
        let own_c = sign(code, 4u);
        parts[5u * THREADS + lane] = plus(own_c * plus(m, s), c);
        parts[6u * THREADS + lane] = plus(times(c, own_x), own_c * met);
        parts[7u * THREADS + lane] = plus(own_b * c, own_c * plus(b, own_b * s));
        parts[8u * THREADS + lane] = plus(2 * own_c * c, s);
      }
    }
    workgroupBarrier();
    for (var slot = lane; slot < lists * FORMS; slot += THREADS) {
      let list = slot / FORMS;
      let form = slot % FORMS;
      if (form >= 5u && list >= params.steps) {
        continue;
      }
      let at = slot * params.rows + workgroup.x;
      var sum = forms[at];
      let last = min(members[ends + list + 1u], start + THREADS);
      for (var i = max(members[ends + list], start); i < last; i++) {
        sum = plus(sum, parts[form * THREADS + i - start]);
      }
      forms[at] = sum;
    }
    workgroupBarrier();
  }
}
