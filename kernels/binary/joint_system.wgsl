// AᵀSA and AᵀSw of each row, A = [m_s, b_s, c_s, m_1, b_1, …]; see joint.ts. One workgroup a row, one lane a kept
// weight, in the order of `member_lists.wgsl`.

override THREADS: u32 = 64;
const ENTRIES = 9u; // of one group against another: mask, sign and second sign of both

struct Params {
  rows: u32,
  cols: u32,
  // Kept weights: those beyond the last are skipped.
  begin: u32,
  end: u32,
  groups: u32,
  salient: u32,
  size: u32,
  target_offset: u32,
  gram_offset: u32,
}

@group(0) @binding(0) var<storage, read> projected: array<f32>; // rows × cols: w·S
@group(0) @binding(1) var<storage, read> gram: array<f32>; // cols × cols
@group(0) @binding(2) var<storage, read> members: array<u32>; // rows × (groups + 1 + cols): ends of groups, then their weights
@group(0) @binding(3) var<storage, read_write> system: array<vec2f>; // size × (size + 1) × rows of this dispatch: A, right
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> parts: array<vec2f, THREADS * ENTRIES>;

fn sign(code: u32, bit: u32) -> f32 {
  return select(-1.0, 1.0, (code & bit) != 0u);
}

fn first_scale(group: u32) -> u32 {
  return select(3u * params.salient + 2u * (group - 1u), 0u, group == 0u);
}

// Mask, sign and second sign of a column times what it meets, into parts[first…].
fn set_parts(lane: u32, first: u32, step: u32, code: u32, met: vec2f) {
  parts[first * THREADS + lane] = met;
  parts[(first + step) * THREADS + lane] = sign(code, 2u) * met;
  parts[(first + 2u * step) * THREADS + lane] = sign(code, 4u) * met;
}

// Sums parts over the weights of each group into A; `other` is a group, or `groups` for the right side.
fn reduce(row: u32, lane: u32, start: u32, other: u32) {
  let right = other == params.groups;
  for (var slot = lane; slot < params.groups * ENTRIES; slot += THREADS) {
    let group = slot / ENTRIES;
    let p = (slot % ENTRIES) / 3u;
    let q = slot % 3u;
    let absent = (group == 0u && params.salient == 0u) || (p == 2u && group > 0u);
    if (absent || (right && q > 0u) || (!right && (group < other || (q == 2u && other > 0u)))) {
      continue;
    }
    var column = params.size;
    if (!right) {
      column = first_scale(other) + q;
    }
    let at = ((first_scale(group) + p) * (params.size + 1u) + column) * params.rows + row;
    var sum = system[at];
    let ends = row * (params.groups + 1u + params.cols) + group;
    let last = min(members[ends + 1u], start + THREADS);
    for (var i = max(members[ends], start); i < last; i++) {
      sum = plus(sum, parts[(slot % ENTRIES) * THREADS + i - start]);
    }
    system[at] = sum;
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let cols = params.cols;
  let row = workgroup.x;
  let ends = row * (params.groups + 1u + cols);
  let first = ends + params.groups + 1u;
  let kept = members[ends + params.groups];
  for (var start = params.begin; start < params.end; start += THREADS) {
    let member = start + lane;
    var code = 0u;
    var group = 0u;
    if (member < kept) {
      code = members[first + member];
      group = (code >> 3u) & 2047u;
      set_parts(lane, 0u, 3u, code, vec2f(projected[params.target_offset + row * cols + (code >> 14u)], 0));
    }
    workgroupBarrier();
    reduce(row, lane, start, params.groups);
    workgroupBarrier();
    for (var other = 1u - params.salient; other < params.groups; other++) {
      if (member < kept && group >= other) {
        var m = vec2f();
        var b = vec2f();
        var c = vec2f();
        let line = params.gram_offset + (code >> 14u) * cols;
        let last = members[ends + other + 1u];
        for (var i = members[ends + other]; i < last; i++) {
          let met = members[first + i];
          let s = gram[line + (met >> 14u)];
          m = add(m, s);
          b = add(b, s * sign(met, 2u));
          if (other == 0u) {
            c = add(c, s * sign(met, 4u));
          }
        }
        set_parts(lane, 0u, 3u, code, m);
        set_parts(lane, 1u, 3u, code, b);
        if (other == 0u) {
          set_parts(lane, 2u, 3u, code, c);
        }
      }
      workgroupBarrier();
      reduce(row, lane, start, other);
      workgroupBarrier();
    }
  }
}
