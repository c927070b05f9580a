// Ranks of a row's N:M patterns as codes that are kept or not, a thread to a tile of digits.
struct Params {
  base: u32,
  // Digits of a tile.
  tile: u32,
  // N and M.
  keep: u32,
  run: u32,
  rows: u32,
  cols: u32,
  first_row: u32,
  codes_at: u32,
  row_bits: u32,
  mask_at: u32,
  planes_end: u32,
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>;
@group(0) @binding(1) var<storage, read_write> found: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read> planes: array<u32>;
// Bits of so many digits.
@group(0) @binding(3) var<storage, read> widths: array<u32>;
// [M, M + 1]: C(n, k).
@group(0) @binding(4) var<storage, read> choose: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.x + id.y * groups.x * 64u;
  let runs = params.cols / params.run;
  let tiles = (runs + params.tile - 1u) / params.tile;
  let row = index / tiles;
  if row >= params.rows {
    return;
  }
  let first = index % tiles * params.tile;
  let last = first + min(params.tile, runs - first) - 1u;
  let bit = (params.first_row + row) * params.row_bits + first / params.tile * widths[params.tile];
  var tile = tile_at(params.mask_at, bit, widths[last - first + 1u]);
  for (var run = first; run <= last; run++) {
    // The last digit is what is left.
    var rank = tile.low | (tile.middle << 16u);
    var high = tile.high;
    if run < last {
      let parts = split(tile, params.base);
      rank = parts.digit;
      high = 0u;
      tile = parts.rest;
    }
    if high != 0u || rank >= params.base {
      atomicOr(&found[0], BAD_DIGIT);
    }
    let at = params.codes_at + row * params.cols + run * params.run;
    var left = params.keep;
    for (var position = params.run; position > 0u; position--) {
      let before = choose[(position - 1u) * (params.run + 1u) + left];
      let kept = left > 0u && before <= rank;
      if kept {
        rank -= before;
        left--;
      }
      codes[at + position - 1u] = select(0u, KEPT, kept);
    }
  }
}
