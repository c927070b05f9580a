// Each row's seen values in the order of their columns' places, and how many of them are among the leading columns. A
// thread to a row.
struct Params {
  rows: u32,
  cols: u32,
  limit: u32,
  pruned: u32,
  weighted: u32,
  values_at: u32,
  rank_at: u32,
  weight_at: u32,
}

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> rank: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// Columns by place.
@group(0) @binding(3) var<storage, read> order: array<u32>;
// rows × cols: value and weight.
@group(0) @binding(4) var<storage, read_write> seen: array<vec2f>;
// rows × (limit + 1): seen among the first 1..limit columns, then among all.
@group(0) @binding(5) var<storage, read_write> counts: array<u32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if row >= params.rows {
    return;
  }
  let first = params.values_at + row * params.cols;
  let rank_first = params.rank_at + row * params.cols;
  var count = 0u;
  for (var place = 0u; place < params.cols; place += 1u) {
    let col = order[place];
    if rank[rank_first + col] >= params.pruned {
      var factor = 1.0;
      if params.weighted == 1u {
        factor = weight[params.weight_at + col];
      }
      seen[row * params.cols + count] = vec2f(values[first + col], factor);
      count += 1u;
    }
    if place < params.limit {
      counts[row * (params.limit + 1u) + place] = count;
    }
  }
  counts[row * (params.limit + 1u) + params.limit] = count;
}
