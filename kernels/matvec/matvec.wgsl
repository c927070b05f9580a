// out := x·Ŵᵀ for up to eight vectors, straight from a layer's bits as `matvec_layout.ts` has them. A thread for some chunks of a
// row; 32 rows side by side in a workgroup, whose eight shares of each row are added up at the end.
override PLANES: u32;
override MARKS: u32;
override SALIENT: u32;
override SCALES_PER_BLOCK: u32;
override HALF: u32;
// 1, 4 or 8: vectors that fit.
override LANES: u32;

struct Params {
  vectors: u32,
  rows: u32,
  cols: u32,
  group_size: u32,
  // Words of a plane of signs or marks, of one row, in a whole chunk and in a last, shorter one.
  signs: u32,
  last_signs: u32,
  // The chunks of this dispatch; the binding of words begins with the first of them.
  first_chunk: u32,
  end_chunk: u32,
  // 1: to be added to what is there.
  adds: u32,
  out_at: u32,
  out_stride: u32,
  x_at: u32,
  x_stride: u32,
  words_at: u32,
}

@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read> salient_columns: array<u32>;
@group(0) @binding(4) var<storage, read> x: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

const CHUNK_WORDS = 8u;
const ROWS = 32u;
const SHARES = 8u;

var<workgroup> low_shares: array<vec4f, 256>;
var<workgroup> high_shares: array<vec4f, 256>;

// Scales of the block that is being read.
struct Levels {
  salient_mean: f32,
  one: f32,
  two: f32,
  means: vec4f,
  sizes: vec4f,
}

fn scale_at(at: u32, row: u32) -> f32 {
  if HALF == 1u {
    return widened(scales[(at / 2u) * params.rows + row] >> (16u * (at % 2u)));
  }
  return bitcast<f32>(scales[at * params.rows + row]);
}

fn levels_of(block: u32, row: u32) -> Levels {
  var levels = Levels();
  var at = block * SCALES_PER_BLOCK;
  let end = at + SCALES_PER_BLOCK;
  if SALIENT == 1u {
    levels.salient_mean = scale_at(at, row);
    levels.one = scale_at(at + 1u, row);
    levels.two = scale_at(at + 2u, row);
    at += 3u;
  }
  levels.means.x = scale_at(at, row);
  levels.sizes.x = scale_at(at + 1u, row);
  if at + 2u < end {
    levels.means.y = scale_at(at + 2u, row);
    levels.sizes.y = scale_at(at + 3u, row);
  }
  if at + 4u < end {
    levels.means.z = scale_at(at + 4u, row);
    levels.sizes.z = scale_at(at + 5u, row);
  }
  if at + 6u < end {
    levels.means.w = scale_at(at + 6u, row);
    levels.sizes.w = scale_at(at + 7u, row);
  }
  return levels;
}

fn signed(size: f32, positive: bool) -> f32 {
  return select(-size, size, positive);
}

// Inputs of a column: of one vector, or of those from `first` to `first` + 3, where the last one stands for those that are missing.
fn inputs(first: u32, col: u32) -> vec4f {
  let at = params.x_at + col;
  if LANES == 1u {
    return vec4f(x[at], 0.0, 0.0, 0.0);
  }
  let vector = min(vec4u(first, first + 1u, first + 2u, first + 3u), vec4u(params.vectors - 1u));
  let place = at + vector * params.x_stride;
  return vec4f(x[place.x], x[place.y], x[place.z], x[place.w]);
}

@compute @workgroup_size(256)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = (group.x + group.y * groups.x) * ROWS + lane % ROWS;
  let share = lane / ROWS;
  var low_sum = vec4f(0.0);
  var high_sum = vec4f(0.0);
  if row < params.rows {
    let stride = (1u + MARKS) * params.rows;
    let per_chunk = CHUNK_WORDS * PLANES * params.rows + params.signs * stride;
    let all_words = (params.cols + 31u) / 32u;
    for (var chunk = params.first_chunk + share; chunk < params.end_chunk; chunk += SHARES) {
      let first_word = chunk * CHUNK_WORDS;
      let per_plane = min(CHUNK_WORDS, all_words - first_word);
      let sign_words = select(params.signs, params.last_signs, (chunk + 1u) * 256u > params.cols);
      let base = params.words_at + (chunk - params.first_chunk) * per_chunk + row;
      let signs_at = base + per_plane * PLANES * params.rows;
      var seen = 0u;
      var block = 0xffffffffu;
      var levels = Levels();
      for (var word = 0u; word < per_plane; word++) {
        let at = base + word * PLANES * params.rows;
        var kept = 0xffffffffu;
        // Bits of the marks.
        var low = 0u;
        var high = 0u;
        if PLANES > 0u {
          kept = words[at];
        }
        if PLANES > 1u {
          let second = words[at + params.rows];
          low = second & ~kept;
          high = second & kept;
          kept |= second;
        }
        let shift = seen % 32u;
        let ones = countOneBits(kept);
        let sign_at = signs_at + seen / 32u * stride;
        let some = seen / 32u < sign_words;
        let more = shift + ones > 32u && seen / 32u + 1u < sign_words;
        seen += ones;
        var signs = 0u;
        if some {
          signs = words[sign_at] >> shift;
          if MARKS > 0u {
            low = words[sign_at + params.rows] >> shift;
          }
          if MARKS > 1u {
            high = words[sign_at + 2u * params.rows] >> shift;
          }
        }
        if more {
          signs |= words[sign_at + stride] << (32u - shift);
          if MARKS > 0u {
            low |= words[sign_at + stride + params.rows] << (32u - shift);
          }
          if MARKS > 1u {
            high |= words[sign_at + stride + 2u * params.rows] << (32u - shift);
          }
        }
        var salient = 0u;
        if SALIENT == 1u {
          salient = salient_columns[first_word + word];
        }
        var col = (first_word + word) * 32u;
        let last = min(params.cols, col + 32u);
        while col < last {
          if col / params.group_size != block {
            block = col / params.group_size;
            levels = levels_of(block, row);
          }
          let stop = min(last, (block + 1u) * params.group_size);
          for (; col < stop; col++) {
            let positive = (signs & 1u) != 0u;
            let mark = (low & 1u) | ((high & 1u) << 1u);
            var weight = levels.means[mark] + signed(levels.sizes[mark], positive);
            if SALIENT == 1u && (salient & 1u) != 0u {
              weight = levels.salient_mean + signed(levels.one, positive) + signed(levels.two, mark == 1u);
            }
            weight = select(0.0, weight, (kept & 1u) != 0u);
            low_sum += weight * inputs(0u, col);
            if LANES > 4u {
              high_sum += weight * inputs(4u, col);
            }
            let step = kept & 1u;
            signs >>= step;
            low >>= select(1u, step, MARKS > 0u);
            high >>= select(1u, step, MARKS > 0u);
            kept >>= 1u;
            salient >>= 1u;
          }
        }
      }
    }
  }
  low_shares[lane] = low_sum;
  high_shares[lane] = high_sum;
  workgroupBarrier();
  for (var half = SHARES / 2u; half > 0u; half /= 2u) {
    if share < half {
      low_shares[lane] += low_shares[lane + half * ROWS];
      high_shares[lane] += high_shares[lane + half * ROWS];
    }
    workgroupBarrier();
  }
  if share > 0u || row >= params.rows {
    return;
  }
  for (var vector = 0u; vector < params.vectors; vector++) {
    let at = params.out_at + vector * params.out_stride + row;
    var sum = low_shares[lane][vector & 3u];
    if vector > 3u {
      sum = high_shares[lane][vector & 3u];
    }
    if params.adds == 1u {
      sum += result[at];
    }
    result[at] = sum;
  }
}
