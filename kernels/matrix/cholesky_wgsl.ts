/**
 * The shader that factors one block and inverts the factor: h := R, upper, with h = R·Rᵀ, and u := R⁻¹, in one
 * workgroup.
 *
 * Both are one loop over j from the last column to the first. An element (i, k) of the triangle is h's as long as k < j,
 * and u's afterwards; in either state step j subtracts from it the product of entries i and k of one vector, divided by
 * the pivot: left of j that vector is column j of h, right of j it is row j of u. So a step is one barrier, to publish
 * that vector, and one product for each element, which stay in variables of the thread that owns them: a thread of 16 × 16
 * owns every sixteenth row and column. The variables are written out, as arrays and loops cost most of the speed.
 */

/** Rows of threads, and columns. */
const ACROSS = 16;

/**
 * Writes the shader.
 *
 * @param blocks 16 rows of h each: ⌈size/16⌉
 */
export function choleskyShader(blocks: number): string {
  const each = (body: (a: number, b: number) => string) =>
    lines(range(0, blocks), (a) => lines(range(a, blocks), (b) => body(a, b)));
  const size = blocks * ACROSS;
  return `
struct Params {
  size: u32,
  offset: u32,
  stride: u32,
  first: u32,
  statusOffset: u32,
  inverseOffset: u32,
  inverseStride: u32,
}

@group(0) @binding(0) var<storage, read_write> h: array<f32>;
@group(0) @binding(1) var<storage, read_write> status: array<u32>;
@group(0) @binding(2) var<storage, read_write> u: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const INFINITE = 0x7f800000u;

// The vector of a step; the next step's is written while the last threads still read this one's.
var<workgroup> vectors: array<f32, ${2 * size}>;

fn load(i: u32, k: u32) -> f32 {
  if (k >= params.size || i > k) { return 0.0; }
  return h[params.offset + i * params.stride + k];
}

fn storeInverse(i: u32, k: u32, value: f32) {
  if (i >= params.size || k >= params.size) { return; }
  u[params.inverseOffset + i * params.inverseStride + k] = select(0.0, value, i <= k);
}

@compute @workgroup_size(${ACROSS}, ${ACROSS})
fn main(@builtin(local_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let x = id.x;
  let y = id.y;
${each((a, b) => `  var v${a}_${b} = load(y + ${a * ACROSS}u, x + ${b * ACROSS}u);`)}
  var turn = 0u;
${lines(range(0, blocks).reverse(), (block) => steps(block, blocks, size))}
${each((a, b) => `  storeInverse(y + ${a * ACROSS}u, x + ${b * ACROSS}u, v${a}_${b});`)}
${
    lines(range(1, blocks), (a) =>
      lines(range(0, a), (b) => `  storeInverse(y + ${a * ACROSS}u, x + ${b * ACROSS}u, 0.0);`))
  }
}
`;
}

/** The steps whose column lies in one block of columns. */
function steps(block: number, blocks: number, size: number): string {
  const above = range(0, block + 1), start = block * ACROSS;
  return `  for (var step = 0u; step < ${ACROSS}u; step++) {
    let s = ${ACROSS - 1}u - step;
    let j = ${start}u + s;
    if (j >= params.size) { continue; }
    if (x == s) {
${lines(range(0, block), (a) => `      vectors[turn + y + ${a * ACROSS}u] = v${a}_${block};`)}
      if (y <= s) { vectors[turn + y + ${start}u] = v${block}_${block}; }
    }
    if (y == s) {
      if (x > s) { vectors[turn + x + ${start}u] = v${block}_${block}; }
${lines(range(block + 1, blocks), (b) => `      vectors[turn + x + ${b * ACROSS}u] = v${block}_${b};`)}
    }
    workgroupBarrier();
    var pivot = vectors[turn + j];
    // Judged by its bits, as compilers may take floats for finite.
    if (!(bitcast<u32>(pivot) - 1u < INFINITE - 1u)) {
      pivot = 1.0;
      if (x == 0u && y == 0u && status[params.statusOffset] == 0u) {
        status[params.statusOffset] = params.first + j + 1u;
      }
    }
    let diagonal = sqrt(pivot);
${lines(above, (a) => `    let i${a} = vectors[turn + y + ${a * ACROSS}u];`)}
    // One thread for each row of R's column.
    if (lane < params.size) {
      h[params.offset + lane * params.stride + j] =
        select(select(0.0, diagonal, lane == j), vectors[turn + min(lane, j)] / diagonal, lane < j);
    }
${lines(above, (a) => `    let r${a} = ${a < block ? `i${a} / pivot` : `select(0.0, i${a} / pivot, y < s)`};`)}
${
    lines(range(0, blocks), (b) => {
      const value = `vectors[turn + x + ${b * ACROSS}u]`;
      return `    let k${b} = ${b === block ? `select(${value}, 1.0, x == s)` : value};`;
    })
  }
    // Column j passes from h to u.
    if (x == s) {
${lines(above, (a) => `      v${a}_${block} = 0.0;`)}
    }
    if (y == s) {
      v${block}_${block} = select(v${block}_${block} / diagonal, 1.0 / diagonal, x == s);
${lines(range(block + 1, blocks), (b) => `      v${block}_${b} = v${block}_${b} / diagonal;`)}
    }
${lines(above, (a) => lines(range(a, blocks), (b) => `    v${a}_${b} = fma(-r${a}, k${b}, v${a}_${b});`))}
    turn = ${size}u - turn;
  }`;
}

function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
}

function lines(items: readonly number[], line: (item: number) => string): string {
  return items.map(line).join("\n");
}
