// Numbers as the unevaluated sum of two floats, leading part first: about 45 bits where a shader has 24. Put before a
// shader. Compilers rearrange sums, but not what passes through `hold`: none can know that `zero` is 0. It comes from a
// storage buffer, as drivers compile uniforms in (Mesa does).
// Source: T. J. Dekker, A floating-point technique for extending the available precision, 1971.

@group(1) @binding(0) var<storage, read> zero: u32;

fn hold(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ zero);
}

// a + b where |a| >= |b| or a is 0.
fn joined(a: f32, b: f32) -> vec2f {
  let sum = hold(a + b);
  return vec2f(sum, b - hold(sum - a));
}

fn two_sum(a: f32, b: f32) -> vec2f {
  let sum = hold(a + b);
  let part_b = hold(sum - a);
  let part_a = hold(sum - part_b);
  return vec2f(sum, hold(a - part_a) + hold(b - part_b));
}

fn add(a: vec2f, b: f32) -> vec2f {
  let sum = two_sum(a.x, b);
  return joined(sum.x, sum.y + a.y);
}

fn plus(a: vec2f, b: vec2f) -> vec2f {
  let sum = two_sum(a.x, b.x);
  return joined(sum.x, sum.y + (a.y + b.y));
}

fn leading_half(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

fn two_product(a: f32, b: f32) -> vec2f {
  let product = hold(a * b);
  let a0 = leading_half(a);
  let a1 = hold(a - a0);
  let b0 = leading_half(b);
  let b1 = hold(b - b0);
  let rest = hold(hold(hold(a0 * b0 - product) + a0 * b1) + a1 * b0) + a1 * b1;
  return vec2f(product, rest);
}

fn times(a: vec2f, b: vec2f) -> vec2f {
  let product = two_product(a.x, b.x);
  return joined(product.x, product.y + (a.x * b.y + a.y * b.x));
}

// The quotient of the leading parts may be off by some units in the last place; its remainder corrects it.
fn over(a: vec2f, b: vec2f) -> vec2f {
  let quotient = hold(a.x / b.x);
  let rest = plus(a, -times(vec2f(quotient, 0.0), b));
  return joined(quotient, rest.x / b.x);
}

fn root(x: f32) -> vec2f {
  if x <= 0.0 {
    return vec2f(0.0);
  }
  let guess = hold(sqrt(x));
  let rest = plus(vec2f(x, 0.0), -two_product(guess, guess));
  return joined(guess, rest.x / (2.0 * guess));
}

fn is_less(a: vec2f, b: vec2f) -> bool {
  return a.x < b.x || (a.x == b.x && a.y < b.y);
}

fn size_of(a: vec2f) -> vec2f {
  return select(a, -a, is_less(a, vec2f(0.0)));
}
