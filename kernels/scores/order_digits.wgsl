// Finds the next digit of every wanted value in the histograms of its level, a thread to a wanted value; at level 0
// also which places are wanted.
struct Params {
  wanted: u32,
  level: u32,
  // 0: pairs of neighbours about (total − 1)·(first + i·step)/parts; else the bounds of `of` ranks.
  of_: u32,
  first: u32,
  step: u32,
  parts: u32,
}

@group(0) @binding(0) var<storage, read> counts: array<u32>;
@group(0) @binding(1) var<storage, read_write> wanted: array<Wanted>;
// See order_histogram.wgsl.
@group(0) @binding(2) var<storage, read_write> rows: array<atomic<u32>>;
// See order_histogram.wgsl; of the level before.
@group(0) @binding(3) var<storage, read> rows_before: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

// ⌊a·m/n⌋ without a product that overflows, for m <= n of at most 4 digits.
fn scaled(a: u32, m: u32, n: u32) -> u32 {
  return (a / n) * m + (a % n) * m / n;
}

fn place_of(i: u32, total: u32) -> u32 {
  if params.of_ == 0u {
    if total == 0u {
      return 0u;
    }
    let low = scaled(total - 1u, params.first + i / 2u * params.step, params.parts);
    return min(low + i % 2u, total - 1u);
  }
  // total − round((of − r)·total/of) with r = i + 1
  let kept = params.of_ - 1u - i;
  let quotient = total / params.of_;
  let rest = total % params.of_;
  return total - (quotient * kept + (2u * rest * kept + params.of_) / (2u * params.of_));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if i >= params.wanted {
    return;
  }
  let digits = digits_of(params.level);
  var state = wanted[i];
  if params.level == 0u {
    var total = 0u;
    for (var d = 0u; d < digits; d += 1u) {
      total += counts[d];
    }
    let place = place_of(i, total);
    state = Wanted(0u, place, 0u, 0u, place, u32(place < total), total);
  } else if state.exists == 1u {
    state.slot = rows_before[state.slot * DIGITS + (state.key & (DIGITS - 1u))] - 1u;
  }
  if state.exists == 1u {
    let first = state.slot * digits;
    var digit = 0u;
    var count = counts[first];
    while digit + 1u < digits && state.left >= count {
      state.left -= count;
      state.below += count;
      digit += 1u;
      count = counts[first + digit];
    }
    state.key = state.key * digits + digit;
    if params.level < 2u {
      atomicMax(&rows[state.slot * DIGITS + digit], i + 1u);
    }
  }
  wanted[i] = state;
}
