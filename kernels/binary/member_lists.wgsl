// The members of each row's lists, list after list and each list's in the order of columns; one lane a row.

override THREADS: u32 = 64;

struct Params {
  rows: u32,
  cols: u32,
  lists: u32,
  // Lists of a group: one for each step of a schedule, those that stay to its end first.
  steps: u32,
  pruned: u32,
  codes_offset: u32,
  rank_offset: u32,
  // Whether members are counted, and whether they are listed, which the counts come before.
  counts: u32,
  fills: u32,
}

@group(0) @binding(0) var<storage, read> codes: array<u32>; // rows × cols
@group(0) @binding(1) var<storage, read> rank: array<u32>; // rows × cols; not read where there is one list to a group
@group(0) @binding(2) var<storage, read_write> members: array<u32>; // rows × (lists + 1 + cols): ends, then members, see below
@group(0) @binding(3) var<uniform> params: Params;

const OUTSIDE = 0xffffffffu;

fn list_of(row: u32, col: u32, code: u32) -> u32 {
  if ((code & 1u) == 0u) {
    return OUTSIDE;
  }
  if (params.pruned == 0u) {
    return (code >> 3u) * params.steps;
  }
  let order = rank[params.rank_offset + row * params.cols + col];
  if (order + params.steps < params.pruned + 1u) {
    return OUTSIDE;
  }
  return (code >> 3u) * params.steps + (params.pruned - min(order, params.pruned));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.rows) {
    return;
  }
  let line = params.codes_offset + row * params.cols;
  let ends = row * (params.lists + 1u + params.cols);
  let first = ends + params.lists + 1u;
  if (params.counts == 1u) {
    for (var list = 0u; list <= params.lists; list++) {
      members[ends + list] = 0u;
    }
    for (var j = 0u; j < params.cols; j++) {
      let list = list_of(row, j, codes[line + j]);
      if (list != OUTSIDE) {
        members[ends + list + 1u]++;
      }
    }
    for (var list = 0u; list < params.lists; list++) {
      members[ends + list + 1u] += members[ends + list];
    }
  }
  if (params.fills == 0u) {
    return;
  }
  // Where a list begins moves to its end, which is where the next one began.
  for (var j = 0u; j < params.cols; j++) {
    let code = codes[line + j];
    let list = list_of(row, j, code);
    if (list != OUTSIDE) {
      members[first + members[ends + list]] = j << 14u | list << 3u | (code & 7u);
      members[ends + list]++;
    }
  }
  for (var list = params.lists; list > 0u; list--) {
    members[ends + list] = members[ends + list - 1u];
  }
  members[ends] = 0u;
}
