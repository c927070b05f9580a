// Marks the leading columns whose number has the least error, the fewest of equal ones. One workgroup.
struct Params {
  cols: u32,
  limit: u32,
  at: u32,
}

// 2·limit: errors of the leading columns by their number, then those of the rest.
@group(0) @binding(0) var<storage, read> errors: array<vec2f>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read_write> salient: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> leading: u32;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  if lane == 0u {
    var best = 0u;
    var least = vec2f(0.0);
    for (var k = 0u; k < params.limit; k += 1u) {
      let error = plus(errors[k], errors[params.limit + k]);
      if k == 0u || is_less(error, least) {
        best = k + 1u;
        least = error;
      }
    }
    leading = best;
  }
  let number = workgroupUniformLoad(&leading);
  for (var c = lane; c < params.cols; c += 64u) {
    salient[params.at + c] = u32(places[c] < number);
  }
}
