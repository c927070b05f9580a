// Rounds to float16 (ties to even) and back; beyond its range to its largest value. In integers, as how `pack2x16float`
// rounds is left to the driver.
struct Params {
  cols: u32,
  offset: u32,
  stride: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

const SIGN = 0x80000000u;
// Largest finite float16, smallest normal float16, infinity.
const MOST = 0x477fe000u;
const NORMAL = 0x38800000u;
const INFINITE = 0x7f800000u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.cols) { return; }
  let at = params.offset + id.y * params.stride + id.x;
  let sign = x[at] & SIGN;
  var size = x[at] & ~SIGN;
  if (size > INFINITE) { return; }
  if (size >= MOST) {
    size = MOST;
  } else if (size >= NORMAL) {
    size = (size + 0xfffu + ((size >> 13u) & 1u)) & ~0x1fffu;
  } else {
    // Below, float16 counts in steps of 2⁻²⁴; WGSL's round takes ties to even.
    size = bitcast<u32>(round(bitcast<f32>(size) * 16777216.0) / 16777216.0);
  }
  x[at] = sign | size;
}
