// Zeroes the columns of w whose entry in live (1 × cols) is 0.
struct Params {
  cols: u32,
  offset: u32,
  stride: u32,
  liveOffset: u32,
}

@group(0) @binding(0) var<storage, read_write> w: array<f32>;
@group(0) @binding(1) var<storage, read> live: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.cols || live[params.liveOffset + id.x] != 0.0) { return; }
  w[params.offset + id.y * params.stride + id.x] = 0.0;
}
