// Products of row and column scales, as pairs of floats: what the shaders of `refineProducts` share. Put after their bindings' names:
// `row_scales` and `column_scales`, both (rows or columns) × scales × 2.

const KEPT = 1u;
const SIGN = 2u;
const SECOND_SIGN = 4u;
const GROUP_SHIFT = 3u;

// Share of a weight below which the rest of it is rounding; see products.ts.
const NOTHING = 1.4551915e-11;

// Of the order 0 or 1 in a group: its place among the scales of a row or column.
fn place_of(group: u32, order: u32, doubled: u32) -> u32 {
  return 2u * min(group, doubled) + max(group, doubled) - doubled + order;
}

fn row_scale(row: u32, place: u32, stride: u32, begin: u32) -> vec2f {
  let at = begin + 2u * (row * stride + place);
  return vec2f(row_scales[at], row_scales[at + 1u]);
}

fn column_scale(column: u32, place: u32, stride: u32) -> vec2f {
  let at = 2u * (column * stride + place);
  return vec2f(column_scales[at], column_scales[at + 1u]);
}

fn signed(x: vec2f, positive: bool) -> vec2f {
  return select(-x, x, positive);
}

// x less the other order's level, where there is one already: at the start the second order meets the first, later each the other.
fn rest_of(x: f32, code: u32, order: u32, start: u32, doubled: u32, other: vec2f) -> vec2f {
  if code >> GROUP_SHIFT >= doubled || (start == 1u && order == 0u) {
    return vec2f(x, 0.0);
  }
  let positive = (code & select(SIGN, SECOND_SIGN, order == 0u)) != 0u;
  let rest = add(-signed(other, positive), x);
  return select(vec2f(0.0), rest, abs(rest.x) > NOTHING * abs(x));
}

// What a scale is fitted to: the rest in the direction of its sign, which at the start is the rest's own.
fn along(rest: vec2f, code: u32, order: u32, start: u32) -> vec2f {
  if start == 1u {
    return size_of(rest);
  }
  return signed(rest, (code & select(SECOND_SIGN, SIGN, order == 0u)) != 0u);
}
