// Candidate cuts: percentiles between the neighbours that order_digits.wgsl found. A thread to a candidate.
struct Params {
  candidates: u32,
  // Where percentile i stands among the seen: (seen − 1)·(first + i·step)/parts.
  first: u32,
  step: u32,
  parts: u32,
}

@group(0) @binding(0) var<storage, read> wanted: array<Wanted>;
@group(0) @binding(1) var<storage, read_write> levels: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// Above every weight, so that what lies below is all.
const NOTHING_SEEN = 3.4028234e38;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if i >= params.candidates {
    return;
  }
  if wanted[2u * i].exists == 0u {
    levels[i] = NOTHING_SEEN;
    return;
  }
  let rest = (wanted[2u * i].total - 1u) % params.parts * (params.first + i * params.step) % params.parts;
  let low = value_of(wanted[2u * i].key);
  let high = value_of(wanted[2u * i + 1u].key);
  let part = over(vec2f(f32(rest), 0.0), vec2f(f32(params.parts), 0.0));
  levels[i] = add(times(two_sum(high, -low), part), low).x;
}
