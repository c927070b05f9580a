// Solves (A + λI)·x = right for each row by Cholesky in pairs of floats; see joint.ts. One lane a row.

override THREADS: u32 = 64;

struct Params {
  rows: u32,
  size: u32,
  ridge: f32,
  scales_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> scales: array<f32>; // rows × size
@group(0) @binding(1) var<storage, read_write> system: array<vec2f>; // size × (size + 1) × rows of this dispatch: A, right
@group(0) @binding(2) var<uniform> params: Params;

// of a > 0
fn root_of(a: vec2f) -> vec2f {
  let guess = hold(sqrt(a.x));
  let rest = plus(a, -two_product(guess, guess));
  return joined(guess, rest.x / (2 * guess));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) {
    return;
  }
  let size = params.size;
  let down = (size + 1u) * params.rows; // to the entry below
  let across = params.rows; // to the next entry
  let right = id.x + size * across;
  var trace = vec2f();
  for (var k = 0u; k < size; k++) {
    trace = plus(trace, system[id.x + k * (down + across)]);
  }
  let share = over(times(trace, vec2f(params.ridge, 0)), vec2f(f32(size), 0));
  let ridge = plus(share, vec2f(1e-12, 0));
  for (var i = 0u; i < size; i++) {
    for (var j = 0u; j <= i; j++) {
      let at = id.x + i * down + j * across;
      var sum = system[at];
      if (i == j) {
        sum = plus(sum, ridge);
      }
      for (var k = 0u; k < j; k++) {
        sum = plus(sum, -times(system[id.x + i * down + k * across], system[id.x + j * down + k * across]));
      }
      if (i == j) {
        // Pivots that rounding pushed below the ridge are raised to it.
        if (is_less(sum, ridge)) {
          sum = ridge;
        }
        system[at] = root_of(sum);
      } else {
        system[at] = over(sum, system[id.x + j * (down + across)]);
      }
    }
  }
  for (var i = 0u; i < size; i++) {
    var sum = system[right + i * down];
    for (var k = 0u; k < i; k++) {
      sum = plus(sum, -times(system[id.x + i * down + k * across], system[right + k * down]));
    }
    system[right + i * down] = over(sum, system[id.x + i * (down + across)]);
  }
  let base = params.scales_offset + id.x * size;
  for (var i = size; i > 0u; i--) {
    let own = i - 1u;
    var sum = system[right + own * down];
    for (var k = i; k < size; k++) {
      sum = plus(sum, -times(system[id.x + k * down + own * across], system[right + k * down]));
    }
    let x = over(sum, system[id.x + own * (down + across)]);
    system[right + own * down] = x;
    scales[base + own] = x.x;
  }
}
