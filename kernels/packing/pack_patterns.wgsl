// Ranks of a row's N:M patterns (`combinations.ts`) as digits, a thread to a tile of them.
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
  // 0: patterns are checked, not written.
  written: u32,
}

@group(0) @binding(0) var<storage, read_write> planes: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
// Bits of so many digits.
@group(0) @binding(2) var<storage, read> widths: array<u32>;
// [M, M + 1]: C(n, k).
@group(0) @binding(3) var<storage, read> choose: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

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
  let digits = min(params.tile, runs - first);
  var tile = Tile();
  var wrong = false;
  for (var run = first + digits; run > first; run--) {
    let at = params.codes_at + row * params.cols + (run - 1u) * params.run;
    var rank = 0u;
    var found = 0u;
    for (var position = 0u; position < params.run; position++) {
      if (codes[at + position] & KEPT) != 0u {
        found++;
        if params.written == 1u {
          rank += choose[position * (params.run + 1u) + found];
        }
      }
    }
    wrong |= found != params.keep;
    if params.tile == 1u {
      tile = tile_of(rank);
    } else {
      tile = append(tile, params.base, rank);
    }
  }
  if wrong {
    atomicOr(&planes[0], BAD_COUNT);
    return;
  }
  if params.written == 0u {
    return;
  }
  let bit = (params.first_row + row) * params.row_bits + first / params.tile * widths[params.tile];
  let at = params.mask_at + bit / 32u;
  let words = placed(tile, bit);
  for (var i = 0u; i < 3u; i++) {
    if words[i] != 0u {
      atomicOr(&planes[at + i], words[i]);
    }
  }
}
