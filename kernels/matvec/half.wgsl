// Half precision in the lowest 16 bits as float32: exact, small numbers too, which a GPU's own conversion may flush to zero.
fn widened(bits: u32) -> f32 {
  let sign = (bits & 0x8000u) << 16u;
  let magnitude = bits & 0x7fffu;
  if magnitude < 0x400u {
    return bitcast<f32>(sign | bitcast<u32>(f32(magnitude) * 0x1p-24f));
  }
  return bitcast<f32>(sign | ((magnitude << 13u) + (112u << 23u)));
}
