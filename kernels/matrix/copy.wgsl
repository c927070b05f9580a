// out := from, or its transpose: a thread for each element of out, a row of workgroups for each of its rows.
struct Params {
  rows: u32,
  cols: u32,
  outOffset: u32,
  outStride: u32,
  fromOffset: u32,
  // Steps in `from` for one row and one column of out.
  fromRow: u32,
  fromCol: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<storage, read> from_: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.cols) { return; }
  out[params.outOffset + id.y * params.outStride + id.x] =
    from_[params.fromOffset + id.y * params.fromRow + id.x * params.fromCol];
}
