// The cuts of most gain, the first of equal ones; doubles beyond the last candidate are not tried. One thread.
struct Params {
  candidates: u32,
  doubled: u32,
}

// 2·candidates, from threshold_gains.wgsl.
@group(0) @binding(0) var<storage, read> gains: array<vec2f>;
@group(0) @binding(1) var<storage, read> levels: array<f32>;
// Two.
@group(0) @binding(2) var<storage, read_write> cuts: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const NONE = 3.4028234e38;

@compute @workgroup_size(1)
fn main() {
  let last = levels[params.candidates - 1u];
  var best = 0u;
  var most = plus(gains[0], gains[params.candidates]);
  for (var k = 1u; k < params.candidates; k += 1u) {
    if params.doubled == 1u && 2.0 * levels[k] > last {
      break;
    }
    let gain = plus(gains[k], gains[params.candidates + k]);
    if is_less(most, gain) {
      best = k;
      most = gain;
    }
  }
  cuts[0] = levels[best];
  cuts[1] = select(NONE, 2.0 * levels[best], params.doubled == 1u && levels[best] < NONE);
}
