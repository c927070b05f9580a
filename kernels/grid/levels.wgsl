// Levels of a grid, for shaders with pairs of floats; see grid_row.ts. Put between `two_float.wgsl` and the shader.

// (code − zero)·scale, as it is decoded: one product of float32.
fn level(code: i32, zero: i32, scale: f32) -> f32 {
  return f32(code - zero) * scale;
}

struct Nearest {
  code: i32,
  // What the level leaves over.
  rest: vec2f,
}

// Of equally near levels the higher. Quotients may be off by some units in the last place: the neighbours are looked at too.
fn nearest(x: vec2f, zero: i32, scale: f32, most: i32) -> Nearest {
  if !(scale > 0.0) {
    return Nearest(zero, x);
  }
  let guess = i32(clamp(floor(x.x / scale + 0.5), f32(-zero - 1), f32(most - zero + 1))) + zero;
  var best = clamp(guess + 1, 0, most);
  var rest = add(x, -level(best, zero, scale));
  for (var down = 0; down >= -1; down--) {
    let code = clamp(guess + down, 0, most);
    let away = add(x, -level(code, zero, scale));
    if is_less(size_of(away), size_of(rest)) {
      best = code;
      rest = away;
    }
  }
  return Nearest(best, rest);
}
