// Some columns in GPTQ's order: each to its nearest level once the errors before it are fed forward; see columnwise.ts. One lane a row.

override THREADS: u32 = 64;

struct Params {
  rows: u32,
  cols: u32,
  from_col: u32,
  to_col: u32,
  most: u32,
  w_at: u32,
  factor_at: u32,
  scales_at: u32,
  zeros_at: u32,
  codes_at: u32,
  errors_at: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> factor: array<f32>; // cols × cols, upper
@group(0) @binding(2) var<storage, read> scales: array<f32>; // rows
@group(0) @binding(3) var<storage, read> zeros: array<u32>; // rows
@group(0) @binding(4) var<storage, read_write> codes: array<u32>; // rows × cols
@group(0) @binding(5) var<storage, read_write> errors: array<f32>; // rows × cols
@group(0) @binding(6) var<storage, read_write> fed: array<vec2f>; // cols × rows of this dispatch: the errors, as pairs
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if row >= params.rows {
    return;
  }
  let cols = params.cols;
  let scale = scales[params.scales_at + row];
  let zero = i32(zeros[params.zeros_at + row]);
  for (var j = params.from_col; j < params.to_col; j++) {
    let at = row * cols + j;
    var x = vec2f(w[params.w_at + at], 0.0);
    for (var i = 0u; i < j; i++) {
      let error = fed[i * params.rows + row];
      x = plus(x, -times(error, vec2f(factor[params.factor_at + i * cols + j], 0.0)));
    }
    let found = nearest(x, zero, scale, i32(params.most));
    let error = over(found.rest, vec2f(factor[params.factor_at + j * cols + j], 0.0));
    codes[params.codes_at + at] = u32(found.code);
    errors[params.errors_at + at] = error.x;
    fed[j * params.rows + row] = error;
  }
}
