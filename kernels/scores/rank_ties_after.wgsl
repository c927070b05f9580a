// Makes of every tile's count the sum of the counts of the tiles after it. A workgroup to a bound; windows of tiles come
// last first and hand their sums on.
struct Params {
  tiles: u32,
  bounds: u32,
  at: u32,
}

@group(0) @binding(0) var<storage, read_write> counts: array<u32>;
// By bound: equal values in the windows after this one.
@group(0) @binding(1) var<storage, read_write> later: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> totals: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let length = (params.tiles + 63u) / 64u;
  let end = min((lane + 1u) * length, params.tiles);
  var total = 0u;
  for (var tile = lane * length; tile < end; tile += 1u) {
    total += counts[params.at + tile * params.bounds + group.x];
  }
  totals[lane] = total;
  workgroupBarrier();
  var after = later[group.x];
  for (var other = lane + 1u; other < 64u; other += 1u) {
    after += totals[other];
  }
  for (var tile = end; tile > lane * length; tile -= 1u) {
    let at = params.at + (tile - 1u) * params.bounds + group.x;
    let count = counts[at];
    counts[at] = after;
    after += count;
  }
  // All lanes have read it.
  storageBarrier();
  if lane == 0u {
    later[group.x] = after;
  }
}
