// Brings each row's scale to the least error for its signs, a thread to a row; see plain.ts. Pairs of floats, as both sums may cancel.
struct Params {
  rows: u32,
  cols: u32,
  scales_at: u32,
  decoded_at: u32,
  target_at: u32,
  product_at: u32,
}

@group(0) @binding(0) var<storage, read_write> scales: array<f32>;
@group(0) @binding(1) var<storage, read> decoded: array<f32>;
@group(0) @binding(2) var<storage, read> wanted: array<f32>;
@group(0) @binding(3) var<storage, read> product: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if row >= params.rows {
    return;
  }
  let first = row * params.cols;
  var numerator = vec2f(0.0);
  var denominator = vec2f(0.0);
  for (var c = first; c < first + params.cols; c += 1u) {
    let q = decoded[params.decoded_at + c];
    numerator = plus(numerator, two_product(q, wanted[params.target_at + c]));
    denominator = plus(denominator, two_product(q, product[params.product_at + c]));
  }
  if denominator.x > 0.0 {
    let at = params.scales_at + 2u * row + 1u;
    scales[at] = times(over(numerator, denominator), vec2f(scales[at], 0.0)).x;
  }
}
