/**
 * Shaders for matrix products, written out for the size of a thread's share: accumulators are named vectors, as arrays
 * and loops cost most of the speed.
 *
 * Both take panels as `gemm_pack.wgsl` makes them, and write out := alpha·a·bᵀ + beta·out.
 */

/** A way to multiply. */
export interface GemmVariant {
  readonly name: string;
  /** Rows (and columns) of a panel. */
  readonly tile: number;
  /** Rows and columns of out for one workgroup. */
  readonly share: number;
  /** The panels' depth is a multiple of it. */
  readonly depth: number;
  readonly code: string;
}

const HEAD = `
struct Params {
  rows: u32,
  cols: u32,
  depth: u32,
  outOffset: u32,
  outStride: u32,
  alpha: f32,
  beta: f32,
  // 1 where out is read.
  adds: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

fn write(row: u32, col: u32, sum: f32) {
  if (row >= params.rows || col >= params.cols) { return; }
  let at = params.outOffset + row * params.outStride + col;
  var value = params.alpha * sum;
  if (params.adds == 1u) { value += params.beta * out[at]; }
  out[at] = value;
}

fn writeFour(row: u32, col: u32, sums: vec4<f32>) {
  write(row, col, sums.x);
  write(row, col + 1u, sums.y);
  write(row, col + 2u, sums.z);
  write(row, col + 3u, sums.w);
}
`;

/**
 * A thread multiplies two panels, reading memory directly: for software devices, which have no fast workgroup memory.
 *
 * @param size rows and columns of a panel, a multiple of 4
 */
export function directGemm(size: number, workgroup: number): GemmVariant {
  const parts = range(size / 4);
  const code = `${HEAD}
@compute @workgroup_size(${workgroup}, ${workgroup})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y * ${size}u;
  let col = id.x * ${size}u;
  if (row >= params.rows || col >= params.cols) { return; }
${accumulators(size, parts.length)}
  var atA = id.y * params.depth * ${parts.length}u;
  var atB = id.x * params.depth * ${parts.length}u;
  for (var k = 0u; k < params.depth; k++) {
${lines(parts, (i) => `    let a${i} = a[atA + ${i}u];`)}
${lines(parts, (i) => `    let b${i} = b[atB + ${i}u];`)}
${products(size, parts.length)}
    atA += ${parts.length}u;
    atB += ${parts.length}u;
  }
${lines(range(size), (r) => lines(parts, (v) => `  writeFour(row + ${r}u, col + ${4 * v}u, c${r}_${v});`))}
}
`;
  return { name: `direct ${size}×${size}`, tile: size, share: size * workgroup, depth: 1, code };
}

/**
 * A workgroup of 8 × 8 threads multiplies two panels of 64 through workgroup memory, 8 × 8 elements a thread, 8 inner
 * indices at a time: for GPUs.
 */
export function tiledGemm(): GemmVariant {
  const code = `${HEAD}
var<workgroup> tileA: array<vec4<f32>, 128>;
var<workgroup> tileB: array<vec4<f32>, 128>;

@compute @workgroup_size(8, 8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) id: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
${accumulators(8, 2)}
  let startA = group.y * params.depth * 16u;
  let startB = group.x * params.depth * 16u;
  for (var k = 0u; k < params.depth; k += 8u) {
    let at = k * 16u + lane;
    tileA[lane] = a[startA + at];
    tileA[lane + 64u] = a[startA + at + 64u];
    tileB[lane] = b[startB + at];
    tileB[lane + 64u] = b[startB + at + 64u];
    workgroupBarrier();
${
    lines(range(8), (k) =>
      `    {
      let a0 = tileA[${16 * k}u + id.y];
      let a1 = tileA[${16 * k + 8}u + id.y];
      let b0 = tileB[${16 * k}u + id.x];
      let b1 = tileB[${16 * k + 8}u + id.x];
${products(8, 2)}
    }`)
  }
    workgroupBarrier();
  }
  let row = group.y * 64u + id.y * 4u;
  let col = group.x * 64u + id.x * 4u;
${
    lines(range(8), (r) =>
      lines(range(2), (v) =>
        `  writeFour(row + ${r % 4 + 32 * Math.floor(r / 4)}u, col + ${32 * v}u, c${r}_${v});`))
  }
}
`;
  return { name: "tiled 64×64", tile: 64, share: 64, depth: 8, code };
}

function accumulators(rows: number, vectors: number): string {
  return lines(range(rows), (r) => lines(range(vectors), (v) => `  var c${r}_${v} = vec4<f32>();`));
}

/** c{r}_{v} += a[r]·b{v}, with row r in component r mod 4 of a{⌊r/4⌋}. */
function products(rows: number, vectors: number): string {
  return lines(range(rows), (r) => {
    const factor = `a${Math.floor(r / 4)}.${"xyzw"[r % 4]}`;
    return lines(range(vectors), (v) => `      c${r}_${v} = fma(vec4(${factor}), b${v}, c${r}_${v});`);
  });
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

function lines(items: readonly number[], line: (item: number) => string): string {
  return items.map(line).join("\n");
}
