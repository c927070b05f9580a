// Signs, second signs and marks of kept weights as runs of bits, and the mask where it is a bit to each weight; a thread to 32 codes.
struct Params {
  length: u32,
  first: u32,
  cols: u32,
  codes_at: u32,
  // 1: the mask is a bit to each weight.
  masked: u32,
  mask_at: u32,
  signs_at: u32,
  // Words of one of the two planes of marks.
  marks: u32,
}

@group(0) @binding(0) var<storage, read_write> planes: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read_write> marks: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read> codes: array<u32>;
@group(0) @binding(3) var<storage, read> columns: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<vec2u>;
@group(0) @binding(5) var<uniform> params: Params;

fn put_plane(at: u32, bit: u32, bits: u32) {
  let shift = bit % 32u;
  atomicOr(&planes[at + bit / 32u], bits << shift);
  if shift > 0u && bits >> (32u - shift) != 0u {
    atomicOr(&planes[at + bit / 32u + 1u], bits >> (32u - shift));
  }
}

fn put_mark(at: u32, bit: u32, bits: u32) {
  let shift = bit % 32u;
  atomicOr(&marks[at + bit / 32u], bits << shift);
  if shift > 0u && bits >> (32u - shift) != 0u {
    atomicOr(&marks[at + bit / 32u + 1u], bits >> (32u - shift));
  }
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
  var col = (params.first + begin) % params.cols;
  var mask = 0u;
  var signs = 0u;
  var seconds = 0u;
  var low = 0u;
  var high = 0u;
  // Kept weights so far, and those with two signs.
  var count = vec2u(0u);
  for (var at = begin; at < end; at++) {
    let code = codes[params.codes_at + at];
    let keep = code & KEPT;
    let again = keep & columns[col];
    mask |= keep << (at - begin);
    if keep == 1u {
      signs |= ((code >> 1u) & 1u) << count.x;
      if again == 1u {
        seconds |= ((code >> 2u) & 1u) << count.y;
      } else {
        let mark = (code >> GROUP_SHIFT) - 1u;
        low |= (mark & 1u) << (count.x - count.y);
        high |= ((mark >> 1u) & 1u) << (count.x - count.y);
      }
    }
    count += vec2u(keep, again);
    col = select(col + 1u, 0u, col + 1u == params.cols);
  }
  let sum = sum_through(lane, count);
  if begin >= params.length {
    return;
  }
  let place = counts[params.first / SECTION + section] + sum - count;
  let seconds_at = params.signs_at + (atomicLoad(&planes[1]) + 31u) / 32u;
  if params.masked == 1u {
    atomicStore(&planes[params.mask_at + (params.first + begin) / 32u], mask);
  }
  if count.x > 0u {
    put_plane(params.signs_at, place.x, signs);
  }
  if count.y > 0u {
    put_plane(seconds_at, place.y, seconds);
  }
  if count.x > count.y {
    put_mark(0u, place.x - place.y, low);
    put_mark(params.marks, place.x - place.y, high);
  }
}
