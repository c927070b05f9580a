// Digits of a base as bits, as `radix.ts` lays them out: a tile of them is an integer of up to 48 bits, here three limbs of 16.
struct Tile {
  low: u32,
  middle: u32,
  high: u32,
}

// Digit of a base above 2¹⁶: a tile of its own.
fn tile_of(digit: u32) -> Tile {
  return Tile(digit & 0xffffu, digit >> 16u, 0u);
}

// tile · base + digit, where base ≤ 2¹⁶ and digit < base.
fn append(tile: Tile, base: u32, digit: u32) -> Tile {
  let low = tile.low * base + digit;
  let middle = tile.middle * base + (low >> 16u);
  let high = tile.high * base + (middle >> 16u);
  return Tile(low & 0xffffu, middle & 0xffffu, high);
}

// ⌊tile / base⌋, and the remainder.
struct Split {
  rest: Tile,
  digit: u32,
}

fn split(tile: Tile, base: u32) -> Split {
  let middle = ((tile.high % base) << 16u) | tile.middle;
  let low = ((middle % base) << 16u) | tile.low;
  return Split(Tile(low / base, middle / base, tile.high / base), low % base);
}

// Words that a tile takes from a bit on, the first of which also holds what comes before.
fn placed(tile: Tile, bit: u32) -> vec3u {
  let shift = bit & 31u;
  let low = tile.low | (tile.middle << 16u);
  if shift == 0u {
    return vec3u(low, tile.high, 0u);
  }
  return vec3u(low << shift, (low >> (32u - shift)) | (tile.high << shift), tile.high >> (32u - shift));
}

// The tile of `width` bits that begins at a bit of the first of three words.
fn taken(words: vec3u, bit: u32, width: u32) -> Tile {
  let shift = bit & 31u;
  var low = words.x;
  var high = words.y;
  if shift > 0u {
    low = (words.x >> shift) | (words.y << (32u - shift));
    high = (words.y >> shift) | (words.z << (32u - shift));
  }
  if width <= 32u {
    high = 0u;
  }
  if width < 32u {
    low &= (1u << width) - 1u;
  }
  if width > 32u {
    high &= (1u << (width - 32u)) - 1u;
  }
  return Tile(low & 0xffffu, low >> 16u, high);
}
