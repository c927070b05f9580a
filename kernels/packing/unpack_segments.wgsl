// Digits as marks, a thread to a tile of them.
struct Params {
  base: u32,
  // Digits of a tile.
  tile: u32,
  segments_at: u32,
  planes_end: u32,
  // Words of one of the two planes of marks.
  marks: u32,
}

@group(0) @binding(0) var<storage, read_write> marks: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read_write> found: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read> planes: array<u32>;
// Bits of so many digits.
@group(0) @binding(3) var<storage, read> widths: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.x + id.y * groups.x * 64u;
  let count = atomicLoad(&found[1]) - atomicLoad(&found[2]);
  if index > count / params.tile || index * params.tile >= count {
    return;
  }
  let first = index * params.tile;
  let last = first + min(params.tile, count - first) - 1u;
  let bit = index * widths[params.tile];
  var tile = tile_at(params.segments_at, bit, widths[last - first + 1u]);
  for (var i = first; i <= last; i++) {
    var mark = tile.low;
    var high = tile.middle | tile.high;
    if i < last {
      let parts = split(tile, params.base);
      mark = parts.digit;
      high = 0u;
      tile = parts.rest;
    }
    if high != 0u || mark >= params.base {
      atomicOr(&found[0], BAD_DIGIT);
    }
    if (mark & 1u) != 0u {
      atomicOr(&marks[i / 32u], 1u << (i % 32u));
    }
    if (mark & 2u) != 0u {
      atomicOr(&marks[params.marks + i / 32u], 1u << (i % 32u));
    }
  }
}
