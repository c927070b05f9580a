// As gemm_pack.wgsl, of an operand whose rows begin at whole vectors, which is read four elements at a time.
override TILE = 16u;

struct Params {
  rows: u32,
  inner: u32,
  // Inner indices with padding, a multiple of 4.
  depth: u32,
  // Vectors.
  offset: u32,
  stride: u32,
  // 1 where inner indices run along x's rows.
  transposed: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

// Elements from `start` on of a line of x, zero from `end` on: what memory holds there may be anything.
fn four(line: u32, lines: u32, start: u32, end: u32) -> vec4<f32> {
  if (line >= lines || start >= end) { return vec4<f32>(); }
  let found = x[params.offset + line * params.stride + start / 4u];
  return select(vec4<f32>(), found, vec4(start, start + 1u, start + 2u, start + 3u) < vec4(end));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let across = TILE / 4u;
  let k = id.x / across * 4u;
  if (k >= params.depth) { return; }
  let vector = id.x % across;
  let row = id.y * TILE + vector * 4u;
  let at = (id.y * params.depth + k) * across + vector;
  if (params.transposed == 1u) {
    out[at] = four(k, params.inner, row, params.rows);
    out[at + across] = four(k + 1u, params.inner, row, params.rows);
    out[at + 2u * across] = four(k + 2u, params.inner, row, params.rows);
    out[at + 3u * across] = four(k + 3u, params.inner, row, params.rows);
    return;
  }
  let a = four(row, params.rows, k, params.inner);
  let b = four(row + 1u, params.rows, k, params.inner);
  let c = four(row + 2u, params.rows, k, params.inner);
  let d = four(row + 3u, params.rows, k, params.inner);
  out[at] = vec4(a.x, b.x, c.x, d.x);
  out[at + across] = vec4(a.y, b.y, c.y, d.y);
  out[at + 2u * across] = vec4(a.z, b.z, c.z, d.z);
  out[at + 3u * across] = vec4(a.w, b.w, c.w, d.w);
}
