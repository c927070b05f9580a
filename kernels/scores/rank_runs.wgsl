// Ranks each weight among the `of` consecutive ones it competes with, a thread to a weight.
struct Params {
  length: u32,
  of_: u32,
  out_at: u32,
  score_at: u32,
}

@group(0) @binding(0) var<storage, read_write> rank: array<u32>;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.length {
    return;
  }
  let place = i % params.of_;
  let first = params.score_at + i - place;
  let mine = score[first + place];
  var wins = 0u;
  for (var j = 0u; j < params.of_; j += 1u) {
    let other = score[first + j];
    // Of equal ones the earlier is the more important.
    wins += u32(mine > other || (mine == other && place < j));
  }
  rank[params.out_at + i] = wins;
}
