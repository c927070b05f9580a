// Scores of some columns by what they are once the errors before them are fed forward: |w|·weight, a thread to a weight.
struct Params {
  rows: u32,
  cols: u32,
  first: u32,
  count: u32,
  w_offset: u32,
  factor_offset: u32,
  weight_offset: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> factor: array<f32>; // cols × cols, upper
@group(0) @binding(2) var<storage, read> weight: array<f32>; // cols
@group(0) @binding(3) var<storage, read_write> scores: array<f32>; // rows × count
@group(0) @binding(4) var<storage, read_write> fed: array<vec2f>; // cols × rows: errors, as pairs
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = id.x + id.y * groups.x * 64u;
  if (at >= params.rows * params.count) {
    return;
  }
  let row = at / params.count;
  let j = params.first + at % params.count;
  var x = vec2f(w[params.w_offset + row * params.cols + j], 0);
  for (var i = 0u; i < params.first; i++) {
    let error = fed[i * params.rows + row];
    if (error.x != 0) {
      x = plus(x, -times(error, vec2f(factor[params.factor_offset + i * params.cols + j], 0)));
    }
  }
  scores[at] = abs(x.x) * weight[params.weight_offset + j];
}
