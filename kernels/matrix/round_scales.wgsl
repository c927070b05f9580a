// Rounds each row to float16 (ties to even) and back, in a unit of the row's own where its largest value is none that float16 holds at
// full precision (`half_unit.ts`). In integers, as how drivers round and flush is left to them. One invocation a row.
struct Params {
  rows: u32,
  cols: u32,
  offset: u32,
  stride: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

const SIGN = 0x80000000u;
const INFINITE = 0x7f800000u;
// Exponents, as float32 has them, of 2⁻¹⁴ and 2¹⁵.
const LOWEST = 113;
const BEYOND = 142;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.rows) { return; }
  let start = params.offset + id.x * params.stride;
  var largest = 0u;
  for (var i = 0u; i < params.cols; i++) {
    largest = max(largest, x[start + i] & ~SIGN);
  }
  if (largest >= INFINITE) { return; }
  let exponent = i32(largest >> 23u);
  var unit = 0;
  if (exponent > 0 && (exponent < LOWEST || exponent >= BEYOND)) { unit = exponent - (BEYOND - 1); }
  for (var i = 0u; i < params.cols; i++) {
    let sign = x[start + i] & SIGN;
    let size = half(moved(x[start + i] & ~SIGN, -unit));
    x[start + i] = sign | moved(size, unit);
  }
}

/// bits·2^by; 0 where that is no normal float32.
fn moved(bits: u32, by: i32) -> u32 {
  let exponent = i32(bits >> 23u);
  if (exponent == 0 || exponent + by <= 0) { return 0u; }
  return (bits & 0x7fffffu) | (u32(exponent + by) << 23u);
}

/// Bits of a value below 2¹⁵, rounded to float16.
fn half(size: u32) -> u32 {
  if (size >= u32(LOWEST) << 23u) { return (size + 0xfffu + ((size >> 13u) & 1u)) & ~0x1fffu; }
  // Below, float16 counts in steps of 2⁻²⁴; WGSL's round takes ties to even.
  return bitcast<u32>(round(bitcast<f32>(size) * 16777216.0) / 16777216.0);
}
