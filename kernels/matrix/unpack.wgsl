// out := rows row… and columns col… of the symmetric matrix whose packed upper triangle is `packed`, with `added` on its
// diagonal where `damped` is 1. `base` is the packed index at which the binding starts.
struct Params {
  cols: u32,
  outOffset: u32,
  outStride: u32,
  size: u32,
  row: u32,
  col: u32,
  base: u32,
  addedOffset: u32,
  damped: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> packed: array<f32>;
@group(0) @binding(2) var<storage, read> added: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.cols) { return; }
  let i = params.row + id.y;
  let j = params.col + id.x;
  let low = min(i, j);
  let high = max(i, j);
  // Row `low` is preceded by rows of size, size − 1, … values; half of an even product, kept below 2³².
  let before = select(low * ((low + 1u) / 2u), (low / 2u) * (low + 1u), low % 2u == 0u);
  var x = packed[low * params.size - before + high - params.base];
  if (i == j && params.damped == 1u) { x += added[params.addedOffset + j]; }
  out[params.outOffset + id.y * params.outStride + id.x] = x;
}
