// largest := the bits of the largest magnitude of each row's columns so far, a thread to a row.
struct Params {
  rows: u32,
  cols: u32,
  from_col: u32,
  to_col: u32,
  w_offset: u32,
}

@group(0) @binding(0) var<storage, read> w: array<u32>; // rows × cols
@group(0) @binding(1) var<storage, read_write> largest: array<u32>; // rows
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) {
    return;
  }
  var most = largest[id.x];
  for (var j = params.from_col; j < params.to_col; j++) {
    most = max(most, w[params.w_offset + id.x * params.cols + j] & 0x7fffffffu);
  }
  largest[id.x] = most;
}
