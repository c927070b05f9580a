// Orders columns by their sums, largest first, equal ones by index. A thread to a column.
struct Params {
  cols: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<vec2f>;
// The place of each column, and the column of each place.
@group(0) @binding(1) var<storage, read_write> places: array<u32>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let col = id.x + id.y * groups.x * 64u;
  if col >= params.cols {
    return;
  }
  let mine = sums[col];
  var place = 0u;
  for (var other = 0u; other < params.cols; other += 1u) {
    let before = is_less(mine, sums[other]) || (!is_less(sums[other], mine) && other < col);
    place += u32(before);
  }
  places[col] = place;
  order[place] = col;
}
