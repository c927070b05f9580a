// What a window of rows has in each column, a thread to a column: 1 kept in the salient group, 2 kept in another, 4 pruned.
struct Params {
  rows: u32,
  cols: u32,
  codes_at: u32,
}

@group(0) @binding(0) var<storage, read_write> columns: array<u32>;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let col = id.x;
  if col >= params.cols {
    return;
  }
  var seen = columns[col];
  for (var row = 0u; row < params.rows; row++) {
    let code = codes[params.codes_at + row * params.cols + col];
    seen |= select(4u, select(2u, 1u, code >> GROUP_SHIFT == 0u), (code & KEPT) != 0u);
  }
  columns[col] = seen;
}
