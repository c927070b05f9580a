// Bytes that lie four to a word, a word to each; the last word is widened whole.
struct Params {
  words: u32,
}

@group(0) @binding(0) var<storage, read_write> bytes: array<vec4u>;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i < params.words {
    bytes[i] = unpack4xU8(words[i]);
  }
}
