// Bits of columns, a thread to 32 of them: which are salient, which are kept. Leaves 1 in `columns` for salient ones, 0 for others.
struct Params {
  cols: u32,
  // 1: there is a plane of salient columns, one of kept columns.
  salient: u32,
  structured: u32,
  salient_at: u32,
  mask_at: u32,
}

@group(0) @binding(0) var<storage, read_write> planes: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read_write> columns: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if id.x * 32u >= params.cols {
    return;
  }
  var salient = 0u;
  var kept = 0u;
  var wrong = 0u;
  for (var bit = 0u; bit < min(32u, params.cols - id.x * 32u); bit++) {
    let seen = columns[id.x * 32u + bit];
    if params.salient == 1u && (seen & 3u) == 3u {
      wrong |= BAD_SALIENT;
    }
    if params.structured == 1u && (seen & 3u) != 0u && (seen & 4u) != 0u {
      wrong |= BAD_MASK;
    }
    salient |= (seen & params.salient) << bit;
    kept |= select(0u, 1u, (seen & 3u) != 0u) << bit;
    columns[id.x * 32u + bit] = seen & params.salient;
  }
  if params.salient == 1u {
    atomicStore(&planes[params.salient_at + id.x], salient);
  }
  if params.structured == 1u {
    atomicStore(&planes[params.mask_at + id.x], kept);
  }
  if wrong != 0u {
    atomicOr(&planes[0], wrong);
  }
}
