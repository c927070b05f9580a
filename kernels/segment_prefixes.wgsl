// Sums of a row's values below each bound: count; Σv, Σ|v|, Σ sign v; and, where columns have weights c, Σc, Σc·v, Σc·|v|,
// Σc·sign v. A thread to a row and a bound.
struct Params {
  zero: u32,
  rows: u32,
  cols: u32,
  // Bounds + 2: nothing lies below the first, everything below the last.
  width: u32,
  first_row: u32,
  values_at: u32,
  weight_at: u32,
  weighted: u32,
}

@group(0) @binding(0) var<storage, read> bins: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// rows × (4 or 8) × width
@group(0) @binding(3) var<storage, read_write> prefixes: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.width {
    return;
  }
  let row = i / params.width;
  let bound = i - row * params.width;
  let first = (params.first_row + row) * params.cols;
  var count = 0.0;
  var sum = vec2f(0.0);
  var sizes = vec2f(0.0);
  var signs = 0.0;
  var c = vec2f(0.0);
  var c_sum = vec2f(0.0);
  var c_sizes = vec2f(0.0);
  var c_signs = vec2f(0.0);
  for (var col = 0u; col < params.cols; col += 1u) {
    let bin = bins[first + col];
    if bin == 0u || bin > bound {
      continue;
    }
    let v = values[params.values_at + first + col];
    let negative = v < 0.0;
    count += 1.0;
    sum = add(sum, v);
    sizes = add(sizes, abs(v));
    signs += select(1.0, -1.0, negative);
    if params.weighted == 1u {
      let u = weight[params.weight_at + col];
      let product = two_product(u, v);
      c = add(c, u);
      c_sum = plus(c_sum, product);
      c_sizes = plus(c_sizes, size_of(product));
      c_signs = add(c_signs, select(u, -u, negative));
    }
  }
  let at = row * select(4u, 8u, params.weighted == 1u) * params.width + bound;
  prefixes[at] = vec2f(count, 0.0);
  prefixes[at + params.width] = sum;
  prefixes[at + 2u * params.width] = sizes;
  prefixes[at + 3u * params.width] = vec2f(signs, 0.0);
  if params.weighted == 1u {
    prefixes[at + 4u * params.width] = c;
    prefixes[at + 5u * params.width] = c_sum;
    prefixes[at + 6u * params.width] = c_sizes;
    prefixes[at + 7u * params.width] = c_signs;
  }
}
