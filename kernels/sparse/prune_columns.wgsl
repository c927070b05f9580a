// Some columns in SparseGPT's order: what is pruned is an error, fed to the columns after it; see prune_columns.ts. One lane a row.

override THREADS: u32 = 64;

struct Params {
  rows: u32,
  cols: u32,
  from_col: u32,
  to_col: u32,
  pruned: u32,
  rounds: u32,
  w_offset: u32,
  factor_offset: u32,
  values_offset: u32,
  kept_offset: u32,
  errors_offset: u32,
}

@group(0) @binding(0) var<storage, read> w: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> factor: array<f32>; // cols × cols, upper
@group(0) @binding(2) var<storage, read_write> values: array<f32>; // rows × cols
@group(0) @binding(3) var<storage, read_write> kept: array<u32>; // rows × cols: ranks, which become marks
@group(0) @binding(4) var<storage, read_write> errors: array<f32>; // rows × cols
@group(0) @binding(5) var<storage, read_write> largest: array<u32>; // rows
@group(0) @binding(6) var<storage, read_write> fed: array<vec2f>; // cols × rows of this dispatch: the errors, as pairs
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) {
    return;
  }
  let row = id.x;
  let cols = params.cols;
  let unit = unit_of(largest[row]);
  for (var j = params.from_col; j < params.to_col; j++) {
    let at = row * cols + j;
    var x = vec2f(w[params.w_offset + at], 0);
    for (var i = 0u; i < j; i++) {
      let error = fed[i * params.rows + row];
      if (error.x != 0) {
        x = plus(x, -times(error, vec2f(factor[params.factor_offset + i * cols + j], 0)));
      }
    }
    let stays = kept[params.kept_offset + at] >= params.pruned;
    var value = 0.0;
    if (stays) {
      value = x.x;
      if (params.rounds != 0u) {
        value = stored(x.x, unit);
      }
    }
    var error = vec2f(0);
    if (!stays || params.rounds != 0u) {
      error = over(add(x, -value), vec2f(factor[params.factor_offset + j * cols + j], 0));
    }
    values[params.values_offset + at] = value;
    kept[params.kept_offset + at] = u32(stays);
    errors[params.errors_offset + at] = error.x;
    fed[j * params.rows + row] = error;
  }
}
