// Marks the leading columns whose number has the least error, the fewest of equal ones. One workgroup.
struct Params {
  cols: u32,
  limit: u32,
  at: u32,
  // 1: every sixth number, then around the best in steps of 3 and of 1.
  coarse: u32,
}

// 2·limit: errors of the leading columns by their number, then those of the rest.
@group(0) @binding(0) var<storage, read> errors: array<vec2f>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read_write> salient: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> leading: u32;

var<private> best: u32 = 0u;
var<private> least: vec2f;

// Numbers below 1 have wrapped round and are beyond the limit.
fn look(number: u32) {
  if number == 0u || number > params.limit {
    return;
  }
  let error = plus(errors[number - 1u], errors[params.limit + number - 1u]);
  if best == 0u || is_less(error, least) {
    best = number;
    least = error;
  }
}

fn look_around(step: u32) {
  let middle = best;
  look(middle - 2u * step);
  look(middle - step);
  look(middle + step);
  look(middle + 2u * step);
}

fn choose() {
  let stride = select(1u, 6u, params.coarse == 1u);
  for (var number = 1u; number <= params.limit; number += stride) {
    look(number);
  }
  if params.coarse == 0u || best == 0u {
    return;
  }
  look_around(3u);
  look_around(1u);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  if lane == 0u {
    choose();
    leading = best;
  }
  let number = workgroupUniformLoad(&leading);
  for (var c = lane; c < params.cols; c += 64u) {
    salient[params.at + c] = u32(places[c] < number);
  }
}
