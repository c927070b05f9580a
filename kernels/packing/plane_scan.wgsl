// Counts of sections become the sums of those before, and planes[1] and planes[2] the sums of all; one workgroup.
const THREADS = 256u;

struct Params {
  length: u32,
}

@group(0) @binding(0) var<storage, read_write> counts: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> planes: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) lane: u32) {
  let each = (params.length + THREADS - 1u) / THREADS;
  let first = min(params.length, lane * each);
  let end = min(params.length, first + each);
  var sum = vec2u(0u);
  for (var i = first; i < end; i++) {
    sum += counts[i];
  }
  let through = sum_through(lane, sum);
  var so_far = through - sum;
  for (var i = first; i < end; i++) {
    let count = counts[i];
    counts[i] = so_far;
    so_far += count;
  }
  if lane == THREADS - 1u {
    planes[1] = through.x;
    planes[2] = through.y;
  }
}
