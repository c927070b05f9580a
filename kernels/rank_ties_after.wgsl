// Makes of every tile's count the sum of the counts of the tiles after it. A workgroup to a bound.
struct Params {
  tiles: u32,
  bounds: u32,
}

@group(0) @binding(0) var<storage, read_write> counts: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

var<workgroup> totals: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let length = (params.tiles + 63u) / 64u;
  let end = min((lane + 1u) * length, params.tiles);
  var total = 0u;
  for (var tile = lane * length; tile < end; tile += 1u) {
    total += counts[tile * params.bounds + group.x];
  }
  totals[lane] = total;
  workgroupBarrier();
  var after = 0u;
  for (var other = lane + 1u; other < 64u; other += 1u) {
    after += totals[other];
  }
  for (var tile = end; tile > lane * length; tile -= 1u) {
    let at = (tile - 1u) * params.bounds + group.x;
    let count = counts[at];
    counts[at] = after;
    after += count;
  }
}
