// 1 + how many bounds are <= |w|, or 0 for weights that are not seen. A thread to a weight.
struct Params {
  rows: u32,
  cols: u32,
  bounds: u32,
  pruned: u32,
  w_at: u32,
  salient_at: u32,
  rank_at: u32,
  bins_at: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> salient: array<u32>;
@group(0) @binding(2) var<storage, read> rank: array<u32>;
@group(0) @binding(3) var<storage, read> bounds: array<f32>;
@group(0) @binding(4) var<storage, read_write> bins: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.cols {
    return;
  }
  var bin = 0u;
  if salient[params.salient_at + i % params.cols] == 0u && rank[params.rank_at + i] >= params.pruned {
    let size = abs(w[params.w_at + i]);
    var low = 0u;
    var high = params.bounds;
    while low < high {
      let middle = (low + high) / 2u;
      if bounds[middle] <= size {
        low = middle + 1u;
      } else {
        high = middle;
      }
    }
    bin = 1u + low;
  }
  bins[params.bins_at + i] = bin;
}
