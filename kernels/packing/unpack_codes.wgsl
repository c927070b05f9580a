// Signs, second signs and groups of kept weights; a thread to 32 codes, which say already what is kept.
struct Params {
  length: u32,
  first: u32,
  cols: u32,
  codes_at: u32,
  signs_at: u32,
  seconds_at: u32,
  planes_end: u32,
  // Words of one of the two planes of marks.
  marks: u32,
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read> marks: array<u32>;
@group(0) @binding(3) var<storage, read> columns: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<vec2u>;
@group(0) @binding(5) var<uniform> params: Params;

// The bits from a bit on.
fn plane_bits(at: u32, bit: u32) -> u32 {
  let shift = bit % 32u;
  if shift == 0u {
    return word(at + bit / 32u);
  }
  return (word(at + bit / 32u) >> shift) | (word(at + bit / 32u + 1u) << (32u - shift));
}

// The planes of marks have a word more than marks take.
fn mark_bits(at: u32, bit: u32) -> u32 {
  let shift = bit % 32u;
  if shift == 0u {
    return marks[at + bit / 32u];
  }
  return (marks[at + bit / 32u] >> shift) | (marks[at + bit / 32u + 1u] << (32u - shift));
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let section = group.x + group.y * groups.x;
  let begin = section * SECTION + lane * 32u;
  let end = min(params.length, begin + 32u);
  let first_col = (params.first + begin) % params.cols;
  var col = first_col;
  var count = vec2u(0u);
  for (var at = begin; at < end; at++) {
    let keep = codes[params.codes_at + at] & KEPT;
    count += vec2u(keep, keep & columns[col]);
    col = select(col + 1u, 0u, col + 1u == params.cols);
  }
  let sum = sum_through(lane, count);
  if begin >= params.length {
    return;
  }
  let place = counts[params.first / SECTION + section] + sum - count;
  var signs = plane_bits(params.signs_at, place.x);
  var seconds = plane_bits(params.seconds_at, place.y);
  var low = mark_bits(0u, place.x - place.y);
  var high = mark_bits(params.marks, place.x - place.y);
  col = first_col;
  for (var at = begin; at < end; at++) {
    if (codes[params.codes_at + at] & KEPT) != 0u {
      var code = KEPT | ((signs & 1u) << 1u);
      signs >>= 1u;
      if columns[col] != 0u {
        code |= (seconds & 1u) << 2u;
        seconds >>= 1u;
      } else {
        code |= (((low & 1u) | ((high & 1u) << 1u)) + 1u) << GROUP_SHIFT;
        low >>= 1u;
        high >>= 1u;
      }
      codes[params.codes_at + at] = code;
    }
    col = select(col + 1u, 0u, col + 1u == params.cols);
  }
}
