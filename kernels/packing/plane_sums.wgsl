// Sums over the threads of a workgroup. Put before shaders that say how many THREADS there are.
var<workgroup> sums: array<vec2u, THREADS>;

// What the threads up to this one have together; all threads of the workgroup must call it.
fn sum_through(lane: u32, own: vec2u) -> vec2u {
  sums[lane] = own;
  workgroupBarrier();
  for (var step = 1u; step < THREADS; step *= 2u) {
    var before = vec2u(0u);
    if lane >= step {
      before = sums[lane - step];
    }
    workgroupBarrier();
    sums[lane] += before;
    workgroupBarrier();
  }
  return sums[lane];
}
