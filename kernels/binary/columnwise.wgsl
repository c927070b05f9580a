// Some columns in GPTQ's order: each to its nearest level once the errors before it are fed forward; see columnwise.ts.
// One lane a row.

override THREADS: u32 = 64;

struct Params {
  rows: u32,
  cols: u32,
  from_col: u32,
  to_col: u32,
  salient: u32,
  stride: u32,
  w_offset: u32,
  factor_offset: u32,
  scales_offset: u32,
  codes_offset: u32,
  errors_offset: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> factor: array<f32>; // cols × cols, upper
@group(0) @binding(2) var<storage, read> scales: array<f32>; // rows × stride
@group(0) @binding(3) var<storage, read_write> codes: array<u32>; // rows × cols
@group(0) @binding(4) var<storage, read_write> errors: array<f32>; // rows × cols
@group(0) @binding(5) var<storage, read_write> fed: array<vec2f>; // cols × rows of this dispatch: the errors, as pairs
@group(0) @binding(6) var<uniform> params: Params;

fn level(signs: u32, base: u32, second: bool) -> vec2f {
  let one = scales[base + 1u];
  let first = two_sum(scales[base], select(-one, one, (signs & 2u) != 0u));
  if (!second) {
    return first;
  }
  let two = scales[base + 2u];
  return add(first, select(-two, two, (signs & 4u) != 0u));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) {
    return;
  }
  let row = id.x;
  let cols = params.cols;
  for (var j = params.from_col; j < params.to_col; j++) {
    let at = row * cols + j;
    var x = vec2f(w[params.w_offset + at], 0);
    for (var i = 0u; i < j; i++) {
      let error = fed[i * params.rows + id.x];
      if (error.x != 0) {
        x = plus(x, -times(error, vec2f(factor[params.factor_offset + i * cols + j], 0)));
      }
    }
    let code = codes[params.codes_offset + at];
    var rest = x;
    if ((code & 1u) != 0u) {
      let group = code >> 3u;
      let second = group == 0u;
      var base = params.scales_offset + row * params.stride;
      if (!second) {
        base += 3u * params.salient + 2u * (group - 1u);
      }
      var best = code;
      var least = vec2f();
      // Signs +, − or ++, +−, −+, −−; of equally near levels the first.
      for (var i = 0u; i < select(2u, 4u, second); i++) {
        var signs = select(2u, 0u, i == 1u);
        if (second) {
          signs = select(0u, 2u, i < 2u) | select(0u, 4u, (i & 1u) == 0u);
        }
        let away = plus(x, -level(signs, base, second));
        let distance = size_of(away);
        if (i == 0u || is_less(distance, least)) {
          least = distance;
          rest = away;
          best = (code & ~6u) | signs;
        }
      }
      codes[params.codes_offset + at] = best;
    }
    let error = over(rest, vec2f(factor[params.factor_offset + j * cols + j], 0));
    errors[params.errors_offset + at] = error.x;
    fed[j * params.rows + id.x] = error;
  }
}
