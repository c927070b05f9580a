// The operand of a product as panels: TILE rows of op(x) each, stored inner index by inner index, so that the product reads
// vectors without gaps. Rows and inner indices beyond the operand's are zero. A thread packs four rows at four inner
// indices.
override TILE = 16u;

struct Params {
  rows: u32,
  inner: u32,
  // Inner indices with padding, a multiple of 4.
  depth: u32,
  offset: u32,
  // Steps in x for one row and one inner index.
  rowStep: u32,
  innerStep: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// Rows row… at an inner index.
fn four(row: u32, k: u32) -> vec4<f32> {
  let at = params.offset + row * params.rowStep + k * params.innerStep;
  if (row + 3u < params.rows && k < params.inner) {
    return vec4(x[at], x[at + params.rowStep], x[at + 2u * params.rowStep], x[at + 3u * params.rowStep]);
  }
  var some = vec4<f32>();
  if (k >= params.inner) { return some; }
  if (row < params.rows) { some.x = x[at]; }
  if (row + 1u < params.rows) { some.y = x[at + params.rowStep]; }
  if (row + 2u < params.rows) { some.z = x[at + 2u * params.rowStep]; }
  return some;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let across = TILE / 4u;
  let k = id.x / across * 4u;
  if (k >= params.depth) { return; }
  let vector = id.x % across;
  let row = id.y * TILE + vector * 4u;
  let at = (id.y * params.depth + k) * across + vector;
  out[at] = four(row, k);
  out[at + across] = four(row, k + 1u);
  out[at + 2u * across] = four(row, k + 2u);
  out[at + 3u * across] = four(row, k + 3u);
}
