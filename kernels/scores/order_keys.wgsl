// Floats as integers of the same order, and which of them take part. Put before the shaders of an order statistic.

// Where a digit begins in a key, by level, and how many digits there are.
const DIGITS = 2048u;

struct Wanted {
  // Digits found so far; at the end the whole key.
  key: u32,
  // Place among the values that share these digits.
  left: u32,
  // Values below the key so far.
  below: u32,
  // Row of the next histogram.
  slot: u32,
  // Place that was asked for, and whether there is one.
  place: u32,
  exists: u32,
  // All values that take part.
  total: u32,
}

fn shift_of(level: u32) -> u32 {
  switch level {
    case 0u: { return 21u; }
    case 1u: { return 10u; }
    default: { return 0u; }
  }
}

fn digits_of(level: u32) -> u32 {
  return select(DIGITS, 1024u, level == 2u);
}

fn key_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if (bits & 0x7fffffffu) == 0u {
    return 0x80000000u;
  }
  return select(bits | 0x80000000u, ~bits, bits > 0x80000000u);
}

fn value_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}
