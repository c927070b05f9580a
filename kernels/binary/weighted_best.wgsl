// The candidate of least error, the first of equal ones, as the cuts of threshold_codes.wgsl. One thread.
struct Params {
  count: u32,
  candidates_at: u32,
  errors_at: u32,
}

@group(0) @binding(0) var<storage, read> candidates: array<f32>;
@group(0) @binding(1) var<storage, read> errors: array<f32>;
// Two: the second lies above everything.
@group(0) @binding(2) var<storage, read_write> cuts: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const NONE = 3.4028234e38;

@compute @workgroup_size(1)
fn main() {
  var best = 0u;
  for (var k = 1u; k < params.count; k += 1u) {
    if errors[params.errors_at + k] < errors[params.errors_at + best] {
      best = k;
    }
  }
  cuts[0] = candidates[params.candidates_at + best];
  cuts[1] = NONE;
}
