// What each segment, the bins between two bounds, takes away from the squared error of a few rows: n·(μ² + α²), or its
// like with weights of columns (segment_gains.ts). A thread to a pair of bounds, a workgroup row to a chunk of rows.
struct Params {
  rows: u32,
  width: u32,
  chunk_rows: u32,
  weighted: u32,
}

// See segment_prefixes.wgsl.
@group(0) @binding(0) var<storage, read> prefixes: array<vec2f>;
// chunks × width²
@group(0) @binding(1) var<storage, read_write> gains: array<vec2f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let width = params.width;
  let low = id.x / width;
  let high = id.x - low * width;
  if low >= high || low >= width {
    return;
  }
  let planes = select(4u, 8u, params.weighted == 1u);
  let end = min((id.y + 1u) * params.chunk_rows, params.rows);
  var gain = vec2f(0.0);
  for (var row = id.y * params.chunk_rows; row < end; row += 1u) {
    let a = row * planes * width + low;
    let b = row * planes * width + high;
    let count = prefixes[b].x - prefixes[a].x;
    if count == 0.0 {
      continue;
    }
    let n = vec2f(count, 0.0);
    let sum = plus(prefixes[b + width], -prefixes[a + width]);
    let sizes = plus(prefixes[b + 2u * width], -prefixes[a + 2u * width]);
    let signs = vec2f(prefixes[b + 3u * width].x - prefixes[a + 3u * width].x, 0.0);
    let mean = over(sum, n);
    let rest = plus(sizes, -times(mean, signs));
    let scale = over(rest, n);
    if params.weighted == 0u {
      gain = plus(gain, plus(times(sum, mean), times(rest, scale)));
      continue;
    }
    let c = plus(prefixes[b + 4u * width], -prefixes[a + 4u * width]);
    let c_sum = plus(prefixes[b + 5u * width], -prefixes[a + 5u * width]);
    let c_sizes = plus(prefixes[b + 6u * width], -prefixes[a + 6u * width]);
    let c_signs = plus(prefixes[b + 7u * width], -prefixes[a + 7u * width]);
    let met = plus(times(mean, c_sum), times(scale, plus(c_sizes, -times(mean, c_signs))));
    let squares = plus(times(mean, mean), times(scale, scale));
    gain = plus(gain, plus(2.0 * met, -times(squares, c)));
  }
  gains[id.y * width * width + id.x] = gain;
}
