// A weight as float16 in the unit of its row (`stored_value.ts`). In integers, as how drivers round and flush is left to them. Put before
// a shader.

const SIGN = 0x80000000u;
const INFINITE = 0x7f800000u;
// Exponents, as float32 has them, of 2⁻¹⁴ and 2¹⁵.
const LOWEST = 113;
const BEYOND = 142;
// The bits of 65504, and of what is rounded to more.
const HALF_MOST = 0x477fe000u;
const TOO_LARGE = 0x477ff000u;

// The exponent of the unit of a row with that largest magnitude.
fn unit_of(largest: u32) -> i32 {
  let exponent = i32(largest >> 23u);
  return select(0, exponent - (BEYOND - 1), largest < INFINITE && exponent > 0 && (exponent < LOWEST || exponent >= BEYOND));
}

fn stored(x: f32, unit: i32) -> f32 {
  let bits = bitcast<u32>(x);
  let size = bits & ~SIGN;
  if (size >= INFINITE) {
    return x;
  }
  return bitcast<f32>((bits & SIGN) | moved(half(moved(size, -unit)), unit));
}

// bits·2^by; 0 where that is no normal float32, and its largest power of two where it would be infinite.
fn moved(bits: u32, by: i32) -> u32 {
  let exponent = i32(bits >> 23u);
  if (exponent == 0 || exponent + by <= 0) { return 0u; }
  return select((bits & 0x7fffffu) | (u32(exponent + by) << 23u), 0x7f000000u, exponent + by >= 255);
}

// Bits of a magnitude, rounded to float16.
fn half(size: u32) -> u32 {
  if (size >= TOO_LARGE) { return HALF_MOST; }
  if (size >= u32(LOWEST) << 23u) { return (size + 0xfffu + ((size >> 13u) & 1u)) & ~0x1fffu; }
  // Below, float16 counts in steps of 2⁻²⁴; WGSL's round takes ties to even.
  return bitcast<u32>(round(bitcast<f32>(size) * 16777216.0) / 16777216.0);
}
