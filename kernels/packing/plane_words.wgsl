// Words of planes that are read. Put before shaders that bind `planes` and have their length as `params.planes_end`.

// A word, or zero beyond the last.
fn word(at: u32) -> u32 {
  if at < params.planes_end {
    return planes[at];
  }
  return 0u;
}

// The tile of `width` bits that begins at a bit of the plane at a word.
fn tile_at(plane: u32, bit: u32, width: u32) -> Tile {
  let at = plane + bit / 32u;
  return taken(vec3u(word(at), word(at + 1u), word(at + 2u)), bit, width);
}
