// What each of some candidate cuts leaves of the values outside salient columns, binarized on either side; a thread to a candidate's row.
struct Params {
  rows: u32,
  cols: u32,
  // Candidates: the first, and how many.
  first: u32,
  count: u32,
  values_at: u32,
  salient_at: u32,
  rest_at: u32,
  candidates_at: u32,
  out_at: u32,
}

@group(0) @binding(0) var<storage, read> values: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> salient: array<u32>; // cols
@group(0) @binding(2) var<storage, read> rest: array<f32>; // rows × cols
@group(0) @binding(3) var<storage, read> candidates: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // (count · rows) × cols
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroups: vec3u) {
  let i = id.x + id.y * workgroups.x * 64u;
  if i >= params.rows * params.count {
    return;
  }
  let row = i % params.rows;
  let candidate = i / params.rows;
  let cut = candidates[params.candidates_at + params.first + candidate];
  let line = params.values_at + row * params.cols;
  let to = params.out_at + i * params.cols;
  var count: array<f32, 2>;
  var mean: array<vec2f, 2>;
  var scale: array<vec2f, 2>;
  for (var c = 0u; c < params.cols; c += 1u) {
    if salient[params.salient_at + c] != 0u {
      continue;
    }
    let side = u32(abs(values[line + c]) >= cut);
    count[side] += 1.0;
    mean[side] = add(mean[side], values[line + c]);
  }
  for (var side = 0u; side < 2u; side += 1u) {
    mean[side] = over(mean[side], vec2f(max(count[side], 1.0), 0.0));
  }
  for (var c = 0u; c < params.cols; c += 1u) {
    if salient[params.salient_at + c] != 0u {
      continue;
    }
    let side = u32(abs(values[line + c]) >= cut);
    scale[side] = plus(scale[side], size_of(add(-mean[side], values[line + c])));
  }
  for (var side = 0u; side < 2u; side += 1u) {
    scale[side] = over(scale[side], vec2f(max(count[side], 1.0), 0.0));
  }
  for (var c = 0u; c < params.cols; c += 1u) {
    if salient[params.salient_at + c] != 0u {
      out[to + c] = rest[params.rest_at + row * params.cols + c];
      continue;
    }
    let side = u32(abs(values[line + c]) >= cut);
    let d = add(-mean[side], values[line + c]);
    out[to + c] = plus(d, select(-scale[side], scale[side], is_less(d, vec2f(0.0)))).x;
  }
}
