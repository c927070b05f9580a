// Kept weights of each section, and those of them in salient columns; a workgroup to a section.
struct Params {
  // Codes of this dispatch, and the index in the layer of the first of them: a multiple of the section.
  length: u32,
  first: u32,
  cols: u32,
  codes_at: u32,
  // 0: nothing is checked but what is there; else kept weights outside salient columns must be in a group 1..segments.
  segments: u32,
  // 1: every weight must be kept.
  full: u32,
}

@group(0) @binding(0) var<storage, read_write> counts: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> planes: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read> codes: array<u32>;
@group(0) @binding(3) var<storage, read> columns: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> all_kept: atomic<u32>;
var<workgroup> all_twice: atomic<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let section = group.x + group.y * groups.x;
  var at = section * SECTION + lane * 32u;
  let end = min(params.length, at + 32u);
  var col = (params.first + at) % params.cols;
  var kept = 0u;
  var twice = 0u;
  var wrong = 0u;
  for (; at < end; at++) {
    let code = codes[params.codes_at + at];
    let keep = code & KEPT;
    let again = keep & columns[col];
    let segment = code >> GROUP_SHIFT;
    kept += keep;
    twice += again;
    if params.segments > 0u && keep != again && (segment == 0u || segment > params.segments) {
      wrong |= BAD_GROUP;
    }
    if params.full == 1u && keep == 0u {
      wrong |= BAD_MASK;
    }
    col = select(col + 1u, 0u, col + 1u == params.cols);
  }
  atomicAdd(&all_kept, kept);
  atomicAdd(&all_twice, twice);
  if wrong != 0u {
    atomicOr(&planes[0], wrong);
  }
  workgroupBarrier();
  if lane == 0u && section * SECTION < params.length {
    counts[params.first / SECTION + section] = vec2u(atomicLoad(&all_kept), atomicLoad(&all_twice));
  }
}
