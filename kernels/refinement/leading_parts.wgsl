// The leading parts of pairs of floats; a thread to a pair.
struct Params {
  count: u32,
  pairs_at: u32,
  out_at: u32,
}

@group(0) @binding(0) var<storage, read> pairs: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroups: vec3u) {
  let i = id.x + id.y * workgroups.x * 64u;
  if i < params.count {
    out[params.out_at + i] = pairs[params.pairs_at + 2u * i];
  }
}
