// One level of an order statistic: counts the next digit of all values that share the digits wanted so far. A thread to
// a value.
struct Params {
  rows: u32,
  cols: u32,
  level: u32,
  at: u32,
  // 1: |values| of rank >= pruned in columns that are not salient; 0: all values.
  selective: u32,
  salient_at: u32,
  rank_at: u32,
  pruned: u32,
}

@group(0) @binding(0) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> salient: array<u32>;
@group(0) @binding(3) var<storage, read> rank: array<u32>;
// 1 + row of the histogram of the next level, by digit; 0: nothing there is wanted.
@group(0) @binding(4) var<storage, read> first_rows: array<u32>;
@group(0) @binding(5) var<storage, read> second_rows: array<u32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if i >= params.rows * params.cols {
    return;
  }
  var x = values[params.at + i];
  if params.selective == 1u {
    if salient[params.salient_at + i % params.cols] != 0u || rank[params.rank_at + i] < params.pruned {
      return;
    }
    x = abs(x);
  }
  let key = key_of(x);
  var row = 1u;
  if params.level > 0u {
    row = first_rows[key >> shift_of(0u)];
  }
  if params.level > 1u && row > 0u {
    row = second_rows[(row - 1u) * DIGITS + ((key >> shift_of(1u)) & (DIGITS - 1u))];
  }
  if row > 0u {
    let digits = digits_of(params.level);
    atomicAdd(&counts[(row - 1u) * digits + ((key >> shift_of(params.level)) & (digits - 1u))], 1u);
  }
}
