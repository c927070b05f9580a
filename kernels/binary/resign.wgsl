// One sweep of sign changes over some columns; see resign.ts. One lane a row. What earlier changes do to a column is
// summed when the column is reached: most signs stay, so that sum is short, and so is the list of changes.

override THREADS: u32 = 64;

struct Params {
  rows: u32,
  cols: u32,
  from_col: u32,
  to_col: u32,
  salient: u32,
  stride: u32,
  residual_offset: u32,
  gram_offset: u32,
  scales_offset: u32,
  codes_offset: u32,
}

// A weight's change and its column; a row's first one holds only how many follow it.
struct Change {
  delta: vec2f,
  column: u32,
}

@group(0) @binding(0) var<storage, read> residual: array<f32>; // rows × cols
@group(0) @binding(1) var<storage, read> gram: array<f32>; // cols × cols
@group(0) @binding(2) var<storage, read> scales: array<f32>; // rows × stride
@group(0) @binding(3) var<storage, read_write> codes: array<u32>; // rows × cols
@group(0) @binding(4) var<storage, read_write> changes: array<Change>; // (1 + cols) × rows of this dispatch, 0 at first
@group(0) @binding(5) var<uniform> params: Params;

// What a sign adds when it goes from `before` to `after`: 2, 0 or −2.
fn turn(before: u32, after: u32, bit: u32) -> f32 {
  return 2 * (select(0.0, 1.0, (after & bit) != 0u) - select(0.0, 1.0, (before & bit) != 0u));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) {
    return;
  }
  let row = id.x;
  let cols = params.cols;
  var count = changes[row].column;
  for (var j = params.from_col; j < params.to_col; j++) {
    let at = params.codes_offset + row * cols + j;
    let code = codes[at];
    if ((code & 1u) == 0u) {
      continue;
    }
    var rest = vec2f(residual[params.residual_offset + row * cols + j], 0);
    for (var i = 1u; i <= count; i++) {
      let change = changes[i * params.rows + row];
      rest = plus(rest, -times(change.delta, vec2f(gram[params.gram_offset + change.column * cols + j], 0)));
    }
    let group = code >> 3u;
    var base = params.scales_offset + row * params.stride;
    if (group > 0u) {
      base += 3u * params.salient + 2u * (group - 1u);
    }
    let one = scales[base + 1u];
    var two = 0.0;
    if (group == 0u) {
      two = scales[base + 2u];
    }
    let curve = vec2f(gram[params.gram_offset + j * cols + j], 0);
    var best = code;
    var best_change = vec2f();
    var least = vec2f();
    // Signs +, − or ++, +−, −+, −−; a change must win over those before it.
    let choices = select(2u, 4u, group == 0u);
    for (var i = 0u; i < choices; i++) {
      var signs = select(2u, 0u, i == 1u);
      if (group == 0u) {
        signs = select(0u, 2u, i < 2u) | select(0u, 4u, (i & 1u) == 0u);
      }
      let candidate = (code & ~6u) | signs;
      let change = two_sum(turn(code, candidate, 2u) * one, turn(code, candidate, 4u) * two);
      let cost = times(change, plus(times(change, curve), -2 * rest));
      if (i == 0u || is_less(cost, least)) {
        least = cost;
        best = candidate;
        best_change = change;
      }
    }
    if (best != code) {
      codes[at] = best;
      count++;
      changes[count * params.rows + row] = Change(best_change, j);
    }
  }
  changes[row].column = count;
}
