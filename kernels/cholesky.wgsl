// h := R, upper, with h = R·Rᵀ, from the last column to the first, in place and in one workgroup; only the upper triangle
// is read. Column j of R is divided by its pivot, then subtracted from the triangle left of it.
//
// status := 1 + first + the index of the first pivot that is not positive and finite, unless it was set; R then holds 1
// there. That is judged by the pivot's bits, as compilers may take floats for finite.
override WORKGROUP = 256u;

struct Params {
  size: u32,
  offset: u32,
  stride: u32,
  first: u32,
  statusOffset: u32,
}

@group(0) @binding(0) var<storage, read_write> h: array<f32>;
@group(0) @binding(1) var<storage, read_write> status: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const INFINITE = 0x7f800000u;
// Largest size, see `cholesky_webgpu.ts`.
const MOST = 128u;

var<workgroup> column: array<f32, MOST>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  for (var step = 1u; step <= params.size; step++) {
    let j = params.size - step;
    var pivot = h[params.offset + j * params.stride + j];
    let good = bitcast<u32>(pivot) - 1u < INFINITE - 1u;
    if (!good) { pivot = 1.0; }
    let diagonal = sqrt(pivot);
    // All have read the pivot before one overwrites it.
    storageBarrier();
    if (lane == 0u && !good && status[params.statusOffset] == 0u) {
      status[params.statusOffset] = params.first + j + 1u;
    }
    for (var i = lane; i <= j; i += WORKGROUP) {
      let at = params.offset + i * params.stride + j;
      let x = select(h[at] / diagonal, diagonal, i == j);
      h[at] = x;
      column[i] = x;
    }
    for (var i = lane; i < j; i += WORKGROUP) { h[params.offset + j * params.stride + i] = 0.0; }
    workgroupBarrier();
    for (var at = lane; at < j * j; at += WORKGROUP) {
      let i = at / j;
      let k = at % j;
      if (i <= k) { h[params.offset + i * params.stride + k] -= column[i] * column[k]; }
    }
    storageBarrier();
    workgroupBarrier();
  }
}
