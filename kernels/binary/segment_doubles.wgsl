// Candidate cuts and their doubles in order, which bound the bins of the doubled search. A thread to one of them.
struct Params {
  candidates: u32,
}

@group(0) @binding(0) var<storage, read> levels: array<f32>;
@group(0) @binding(1) var<storage, read_write> bounds: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

fn bound(i: u32) -> f32 {
  if i < params.candidates {
    return levels[i];
  }
  return min(2.0 * levels[i - params.candidates], 3.4028234e38);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if id.x >= 2u * params.candidates {
    return;
  }
  let mine = bound(id.x);
  var place = 0u;
  for (var i = 0u; i < 2u * params.candidates; i += 1u) {
    let other = bound(i);
    place += u32(other < mine || (other == mine && i < id.x));
  }
  bounds[place] = mine;
}
