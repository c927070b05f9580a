// A mask of bits, to each weight or to each column, or none at all, as codes that are kept or not; a thread to a weight.
const ALL = 0u;
const COLUMNS = 1u;

struct Params {
  length: u32,
  first: u32,
  cols: u32,
  codes_at: u32,
  kind: u32,
  mask_at: u32,
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.length {
    return;
  }
  var kept = 1u;
  if params.kind != ALL {
    var bit = params.first + i;
    if params.kind == COLUMNS {
      bit %= params.cols;
    }
    kept = (planes[params.mask_at + bit / 32u] >> (bit % 32u)) & 1u;
  }
  codes[params.codes_at + i] = kept * KEPT;
}
