// Marks as digits, a thread to a tile of them.
struct Params {
  base: u32,
  // Digits of a tile.
  tile: u32,
  signs_at: u32,
  // Words of one of the two planes of marks.
  marks: u32,
}

@group(0) @binding(0) var<storage, read_write> planes: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read> marks: array<u32>;
// Bits of so many digits.
@group(0) @binding(2) var<storage, read> widths: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.x + id.y * groups.x * 64u;
  let kept = atomicLoad(&planes[1]);
  let twice = atomicLoad(&planes[2]);
  let count = kept - twice;
  if index > count / params.tile || index * params.tile >= count {
    return;
  }
  let first = index * params.tile;
  let digits = min(params.tile, count - first);
  var tile = Tile();
  for (var i = first + digits; i > first; i--) {
    let at = (i - 1u) / 32u;
    let bit = (i - 1u) % 32u;
    tile = append(tile, params.base, ((marks[at] >> bit) & 1u) | (((marks[params.marks + at] >> bit) & 1u) << 1u));
  }
  let bit = index * widths[params.tile];
  let at = params.signs_at + (kept + 31u) / 32u + (twice + 31u) / 32u + bit / 32u;
  let words = placed(tile, bit);
  for (var i = 0u; i < 3u; i++) {
    if words[i] != 0u {
      atomicOr(&planes[at + i], words[i]);
    }
  }
}
