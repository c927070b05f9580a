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

// Diagonal of the factor; a row has at most 3 + 2·4 scales.
var<private> pivots: array<vec2f, 11>;

// Cholesky of A + λI: A's lower triangle is kept, the factor goes above its diagonal, transposed, and its diagonal to `pivots`. Whether
// all pivots were at least half of λ.
fn factor(start: u32, down: u32, across: u32, ridge: vec2f) -> bool {
  var sound = true;
  for (var i = 0u; i < params.size; i++) {
    for (var j = 0u; j <= i; j++) {
      var sum = system[start + i * down + j * across];
      if (i == j) {
        sum = plus(sum, ridge);
      }
      for (var k = 0u; k < j; k++) {
        sum = plus(sum, -times(system[start + k * down + i * across], system[start + k * down + j * across]));
      }
      if (i == j) {
        if (is_less(sum, 0.5 * ridge)) {
          sound = false;
        }
        // Pivots that rounding pushed below the ridge are raised to it.
        if (is_less(sum, ridge)) {
          sum = ridge;
        }
        pivots[i] = root_of(sum);
      } else {
        system[start + j * down + i * across] = over(sum, pivots[j]);
      }
    }
  }
  return sound;
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
  var share = over(times(trace, vec2f(params.ridge, 0)), vec2f(f32(size), 0));
  let stiffest = trace.x / f32(size);
  // Only where S is singular, and the rounding of its entries more than the ridge, is the first one not enough.
  while (!factor(id.x, down, across, plus(share, vec2f(1e-12, 0))) && share.x < stiffest) {
    share = times(share, vec2f(10, 0));
  }
  for (var i = 0u; i < size; i++) {
    var sum = system[right + i * down];
    for (var k = 0u; k < i; k++) {
      sum = plus(sum, -times(system[id.x + k * down + i * across], system[right + k * down]));
    }
    system[right + i * down] = over(sum, pivots[i]);
  }
  let base = params.scales_offset + id.x * size;
  for (var i = size; i > 0u; i--) {
    let own = i - 1u;
    var sum = system[right + own * down];
    for (var k = i; k < size; k++) {
      sum = plus(sum, -times(system[id.x + own * down + k * across], system[right + k * down]));
    }
    let x = over(sum, pivots[own]);
    system[right + own * down] = x;
    scales[base + own] = x.x;
  }
}
