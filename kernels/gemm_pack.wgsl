// The operand of a product as panels: TILE rows of op(x) each, stored inner index by inner index, so that the product reads
// vectors without gaps. Rows and inner indices beyond the operand's are zero.
override TILE = 16u;

struct Params {
  rows: u32,
  inner: u32,
  // Inner indices with padding.
  depth: u32,
  offset: u32,
  // Steps in x for one row and one inner index.
  rowStep: u32,
  innerStep: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= TILE * params.depth) { return; }
  var i = id.x % TILE;
  var k = id.x / TILE;
  // Neighbouring threads read neighbouring elements.
  if (params.innerStep == 1u) {
    i = id.x / params.depth;
    k = id.x % params.depth;
  }
  let row = id.y * TILE + i;
  var value = 0.0;
  if (row < params.rows && k < params.inner) {
    value = x[params.offset + row * params.rowStep + k * params.innerStep];
  }
  out[(id.y * params.depth + k) * TILE + i] = value;
}
