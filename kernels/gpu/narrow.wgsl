// Bytes that take a word each, four to a word; what the last word has beyond the last byte means nothing.
struct Params {
  words: u32,
}

@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@group(0) @binding(1) var<storage, read> bytes: array<vec4u>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i < params.words {
    words[i] = pack4xU8(bytes[i]);
  }
}
