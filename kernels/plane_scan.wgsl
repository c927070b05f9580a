// Counts of sections become the sums of those before, and planes[1] and planes[2] the sums of all; one workgroup.
struct Params {
  length: u32,
}

@group(0) @binding(0) var<storage, read_write> counts: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> planes: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<vec2u, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
  let each = (params.length + 255u) / 256u;
  let first = min(params.length, lane * each);
  let end = min(params.length, first + each);
  var sum = vec2u(0u);
  for (var i = first; i < end; i++) {
    sum += counts[i];
  }
  sums[lane] = sum;
  workgroupBarrier();
  for (var step = 1u; step < 256u; step *= 2u) {
    var before = vec2u(0u);
    if lane >= step {
      before = sums[lane - step];
    }
    workgroupBarrier();
    sums[lane] += before;
    workgroupBarrier();
  }
  var so_far = sums[lane] - sum;
  for (var i = first; i < end; i++) {
    let count = counts[i];
    counts[i] = so_far;
    so_far += count;
  }
  if lane == 255u {
    planes[1] = sums[255].x;
    planes[2] = sums[255].y;
  }
}
