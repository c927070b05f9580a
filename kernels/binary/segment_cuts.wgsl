// The cuts of most gain: by dynamic programming over the bins, or the best p with 2·p. One workgroup.
struct Params {
  width: u32,
  // 0: doubled.
  split_points: u32,
  candidates: u32,
  // From one place that a cut tries to the next.
  stride: u32,
}

// width², by first and last bound.
@group(0) @binding(0) var<storage, read> gain: array<vec2f>;
// Bounds of the bins, width − 2 of them.
@group(0) @binding(1) var<storage, read> bounds: array<f32>;
// Candidate cuts.
@group(0) @binding(2) var<storage, read> levels: array<f32>;
// (split_points + 1) × width: most gain of the bins below each bound in so many segments, and where the last begins.
@group(0) @binding(3) var<storage, read_write> best: array<vec3f>;
@group(0) @binding(4) var<storage, read_write> cuts: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

// One after the first bound that equals x.
fn after(x: f32) -> u32 {
  var i = 0u;
  while i + 2u < params.width && bounds[i] != x {
    i += 1u;
  }
  return i + 1u;
}

fn choose_doubled() {
  let bins = params.width - 1u;
  var most = vec2f(0.0);
  for (var k = 0u; k < params.candidates; k += 1u) {
    let twice = min(2.0 * levels[k], 3.4028234e38);
    let i = after(levels[k]);
    let j = after(twice);
    var total = plus(gain[i], gain[j * params.width + bins]);
    if i < j {
      total = plus(total, gain[i * params.width + j]);
    }
    if k == 0u || is_less(most, total) {
      most = total;
      cuts[0] = levels[k];
      cuts[1] = twice;
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  if params.split_points == 0u {
    if lane == 0u {
      choose_doubled();
    }
    return;
  }
  let width = params.width;
  for (var j = lane; j < width; j += 64u) {
    best[j] = vec3f(gain[j], 0.0);
  }
  storageBarrier();
  for (var s = 1u; s <= params.split_points; s += 1u) {
    for (var j = s + 1u + lane; j < width; j += 64u) {
      var most = vec2f(0.0);
      var start = 0u;
      for (var i = s; i < j; i += params.stride) {
        let total = plus(best[(s - 1u) * width + i].xy, gain[i * width + j]);
        if start == 0u || is_less(most, total) {
          most = total;
          start = i;
        }
      }
      best[s * width + j] = vec3f(most, f32(start));
    }
    storageBarrier();
  }
  if lane == 0u {
    var j = width - 1u;
    for (var s = params.split_points; s > 0u; s -= 1u) {
      j = u32(best[s * width + j].z);
      cuts[s - 1u] = bounds[j - 1u];
    }
  }
}
