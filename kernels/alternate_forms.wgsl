// Quadratic forms under S of mask, signs, second signs and weights of each group and level of a row; see alternate.ts.
// One workgroup a row, one lane a column: a pair of columns belongs to the later one, by level, then by index.

override THREADS: u32 = 64;
const FORMS = 9u;

struct Params {
  rows: u32,
  cols: u32,
  from_col: u32,
  to_col: u32,
  segments: u32,
  steps: u32,
  pruned: u32,
  w_offset: u32,
  gram_offset: u32,
  codes_offset: u32,
  rank_offset: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> gram: array<f32>; // cols × cols
@group(0) @binding(2) var<storage, read> codes: array<u32>; // rows × cols
@group(0) @binding(3) var<storage, read> rank: array<u32>; // rows × cols
@group(0) @binding(4) var<storage, read_write> forms: array<vec2f>; // groups × steps × FORMS × rows of this dispatch
@group(0) @binding(5) var<uniform> params: Params;

const OUTSIDE = 0xffffffffu;

var<workgroup> places: array<u32, THREADS>;
var<workgroup> parts: array<vec2f, THREADS * FORMS>;

// group × steps + level of a weight; OUTSIDE if it takes no part
fn place(row: u32, col: u32) -> u32 {
  let at = row * params.cols + col;
  let code = codes[params.codes_offset + at];
  let order = rank[params.rank_offset + at];
  if ((code & 1u) == 0u || order + params.steps < params.pruned + 1u) {
    return OUTSIDE;
  }
  return (code >> 3u) * params.steps + (params.pruned - min(order, params.pruned));
}

fn sign(code: u32, bit: u32) -> f32 {
  return select(-1.0, 1.0, (code & bit) != 0u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let cols = params.cols;
  let row = workgroup.x;
  let line = row * cols;
  let lists = (params.segments + 1u) * params.steps;
  for (var start = params.from_col; start < params.to_col; start += THREADS) {
    let col = start + lane;
    var own = OUTSIDE;
    if (col < cols) {
      own = place(row, col);
    }
    places[lane] = own;
    if (own != OUTSIDE) {
      let group = own / params.steps;
      // Sums over the members before this one: s, s·b, s·x and s·c.
      var m = vec2f();
      var b = vec2f();
      var x = vec2f();
      var c = vec2f();
      for (var j = 0u; j < cols; j++) {
        let other = place(row, j);
        if (other == OUTSIDE || other / params.steps != group || other > own || (other == own && j >= col)) {
          continue;
        }
        let s = gram[params.gram_offset + j * cols + col];
        let code = codes[params.codes_offset + line + j];
        m = add(m, s);
        b = add(b, s * sign(code, 2u));
        x = plus(x, two_product(s, w[params.w_offset + line + j]));
        if (group == 0u) {
          c = add(c, s * sign(code, 4u));
        }
      }
      let code = codes[params.codes_offset + line + col];
      let s = vec2f(gram[params.gram_offset + col * cols + col], 0);
      let own_x = vec2f(w[params.w_offset + line + col], 0);
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
      for (var i = 0u; i < THREADS; i++) {
        if (places[i] == list) {
          sum = plus(sum, parts[form * THREADS + i]);
        }
      }
      forms[at] = sum;
    }
    workgroupBarrier();
  }
}
