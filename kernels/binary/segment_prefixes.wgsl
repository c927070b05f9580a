// One sum of a row's values below each bound of the bins: 0: count; 1: Σv; 2: Σ|v|; 3: Σ sign v; and, where columns have
// weights c, 4: Σc; 5: Σc·v; 6: Σc·|v|; 7: Σc·sign v. A thread to a row and a sum.
struct Params {
  rows: u32,
  cols: u32,
  // Sums of a row: 4 or 8.
  sums: u32,
  // Bins + 1: nothing lies below the first bound, everything below the last.
  width: u32,
  bins_at: u32,
  values_at: u32,
  weight_at: u32,
}

@group(0) @binding(0) var<storage, read> bins: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// rows × sums × width
@group(0) @binding(3) var<storage, read_write> prefixes: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

fn term(sum: u32, v: f32, col: u32) -> vec2f {
  var c = 1.0;
  if sum >= 4u {
    c = weight[params.weight_at + col];
  }
  switch sum % 4u {
    case 0u: { return vec2f(c, 0.0); }
    case 1u: { return two_product(c, v); }
    case 2u: { return two_product(c, abs(v)); }
    default: { return vec2f(select(c, -c, v < 0.0), 0.0); }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.sums {
    return;
  }
  let row = i / params.sums;
  let first = row * params.cols;
  let to = i * params.width;
  for (var bound = 0u; bound < params.width; bound += 1u) {
    prefixes[to + bound] = vec2f(0.0);
  }
  for (var col = 0u; col < params.cols; col += 1u) {
    let bin = bins[params.bins_at + first + col];
    if bin > 0u {
      let v = values[params.values_at + first + col];
      prefixes[to + bin] = plus(prefixes[to + bin], term(i % params.sums, v, col));
    }
  }
  var total = vec2f(0.0);
  for (var bound = 1u; bound < params.width; bound += 1u) {
    total = plus(total, prefixes[to + bound]);
    prefixes[to + bound] = total;
  }
}
