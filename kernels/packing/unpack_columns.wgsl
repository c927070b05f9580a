// Bits of salient columns as words, a thread to a column.
struct Params {
  cols: u32,
  salient_at: u32,
}

@group(0) @binding(0) var<storage, read_write> columns: array<u32>;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if id.x < params.cols {
    columns[id.x] = (planes[params.salient_at + id.x / 32u] >> (id.x % 32u)) & 1u;
  }
}
