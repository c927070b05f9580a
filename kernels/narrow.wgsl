// Bytes that take a word each, four to a word; what is missing of the last word is zero.
struct Params {
  length: u32,
}

@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@group(0) @binding(1) var<storage, read> bytes: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let first = (id.x + id.y * groups.x * 64u) * 4u;
  if first >= params.length {
    return;
  }
  var word = bytes[first];
  if first + 1u < params.length {
    word |= bytes[first + 1u] << 8u;
  }
  if first + 2u < params.length {
    word |= bytes[first + 2u] << 16u;
  }
  if first + 3u < params.length {
    word |= bytes[first + 3u] << 24u;
  }
  words[first / 4u] = word;
}
