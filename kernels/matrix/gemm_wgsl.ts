/**
 * Shaders for matrix products, written out for the size of a thread's share: accumulators are named vectors, as arrays
 * and loops cost most of the speed.
 *
 * All take panels as `gemm_pack.wgsl` makes them, and write out := alpha·a·bᵀ + beta·out, or its upper triangle. All
 * give the same bits: an element is one chain of fused multiplications and additions along the inner index.
 */
import { SUBGROUP } from "../gpu/op.ts";

/** A way to multiply. */
export interface GemmVariant {
  readonly name: string;
  /** Rows of a panel of a, which is also the finest step in which rows of out are made. */
  readonly tileRows: number;
  /** Rows of a panel of b: columns of out. */
  readonly tileCols: number;
  /** Rows, and columns, of out for one workgroup; a multiple of both. */
  readonly share: number;
  readonly code: string;
  /** Threads of a workgroup. */
  readonly threads: number;
  /** Bytes of workgroup memory. */
  readonly memory: number;
  /** Whether it needs a context that is `sharing`. */
  readonly sharing?: boolean;
}

/** Panels' depth is a multiple of it, and nothing of a variant goes beyond `GEMM_SHARE` rows. */
export const GEMM_DEPTH = 8;

/** The largest share. */
export const GEMM_SHARE = 128;

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
  // 1 where only workgroups are launched that touch the upper triangle: 0,0; 0,1; 1,1; 0,2; …
  upper: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

fn write(row: u32, col: u32, sum: f32) {
  if (row >= params.rows || col >= params.cols) { return; }
  let at = params.outOffset + row * params.outStride + col;
  var value = params.alpha * sum;
  if (params.adds == 1u) { value = fma(params.beta, out[at], value); }
  out[at] = value;
}

fn writeFour(row: u32, col: u32, sums: vec4<f32>) {
  write(row, col, sums.x);
  write(row, col + 1u, sums.y);
  write(row, col + 2u, sums.z);
  write(row, col + 3u, sums.w);
}

// A workgroup's place among the shares of out: its column, and its row.
fn place(group: vec3<u32>, groups: vec3<u32>) -> vec2<u32> {
  if (params.upper == 0u) { return group.xy; }
  let index = group.x + group.y * groups.x;
  var col = u32((sqrt(f32(8u * index + 1u)) - 1.0) * 0.5);
  // The root is rounded.
  if (col * (col + 1u) / 2u > index) { col--; }
  if ((col + 1u) * (col + 2u) / 2u <= index) { col++; }
  return vec2(col, index - col * (col + 1u) / 2u);
}
`;

/**
 * A thread multiplies two panels, reading memory directly: for software devices, which have no fast workgroup memory.
 *
 * @param rows of a panel of a, a multiple of 4
 * @param cols of a panel of b, likewise
 */
export function directGemm(rows: number, cols: number, share: number): GemmVariant {
  return {
    name: `direct ${rows}×${cols} in ${share}×${share}`,
    tileRows: rows,
    tileCols: cols,
    share,
    code: directCode(rows, cols, share, false),
    threads: share * share / (rows * cols),
    memory: 0,
  };
}

function directCode(rows: number, cols: number, share: number, sharing: boolean): string {
  const across = share / cols, down = share / rows;
  const partsA = range(rows / 4), partsB = range(cols / 4);
  // Threads that share stay beyond the last column, as others need what they read.
  const done = sharing ? "" : ` || col >= params.cols || (params.upper == 1u && row >= col + ${cols}u)`;
  return `${HEAD}
@compute @workgroup_size(${across}, ${down})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_id) id: vec3<u32>,
) {
  let at = place(group, groups);
  let panelA = at.y * ${down}u + id.y;
  let panelB = at.x * ${across}u + id.x;
  let row = panelA * ${rows}u;
  let col = panelB * ${cols}u;
  if (row >= params.rows${done}) { return; }
${accumulators(rows, partsB.length)}
  var atA = panelA * params.depth * ${partsA.length}u;
  var atB = panelB * params.depth * ${partsB.length}u;
  for (var k = 0u; k < params.depth; k++) {
${sharing ? "    let own = a[atA + id.x];" : ""}
${lines(partsA, (i) => `    let a${i} = ${sharing ? `subgroupBroadcast(own, ${i}u)` : `a[atA + ${i}u]`};`)}
${lines(partsB, (i) => `    let b${i} = b[atB + ${i}u];`)}
${products(rows, partsB.length)}
    atA += ${partsA.length}u;
    atB += ${partsB.length}u;
  }
${lines(range(rows), (r) => lines(partsB, (v) => `  writeFour(row + ${r}u, col + ${4 * v}u, c${r}_${v});`))}
}
`;
}

/**
 * As `directGemm(32, 16, 128)`, but a vector of a's panel is read by one thread of eight, which hands it to the others:
 * software devices read memory thread by thread, and reading costs them as much as multiplying.
 */
export function sharingGemm(): GemmVariant {
  const size = [4 * SUBGROUP, 16, 16 * SUBGROUP] as const, plain = directGemm(...size);
  return { ...plain, name: `${plain.name}, sharing`, code: directCode(...size, true), sharing: true };
}

/**
 * A workgroup multiplies two panels through workgroup memory, 8 inner indices at a time: for GPUs.
 *
 * @param share rows of a panel: 32 where a thread makes 4 × 4 elements, 64 or 128 where it makes 8 × 8
 */
export function tiledGemm(share: 32 | 64 | 128): GemmVariant {
  const each = share === 32 ? 4 : 8;
  const across = share / each, threads = across * across, parts = each / 4;
  // Vectors of one inner index of a panel, and of a tile.
  const width = share / 4, tile = width * GEMM_DEPTH;
  const loads = range(tile / threads);
  const code = `${HEAD}
var<workgroup> tileA: array<vec4<f32>, ${tile}>;
var<workgroup> tileB: array<vec4<f32>, ${tile}>;

@compute @workgroup_size(${across}, ${across})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_id) id: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = place(group, groups);
  if (place.x * ${share}u >= params.cols) { return; }
${accumulators(each, parts)}
  let startA = place.y * params.depth * ${width}u;
  let startB = place.x * params.depth * ${width}u;
  for (var k = 0u; k < params.depth; k += ${GEMM_DEPTH}u) {
    let at = k * ${width}u + lane;
${
    lines(loads, (i) => {
      const from = i * threads;
      return `    tileA[lane + ${from}u] = a[startA + at + ${from}u];
    tileB[lane + ${from}u] = b[startB + at + ${from}u];`;
    })
  }
    workgroupBarrier();
${
    lines(range(GEMM_DEPTH), (k) =>
      `    {
${lines(range(parts), (i) => `      let a${i} = tileA[${k * width + i * across}u + id.y];`)}
${lines(range(parts), (i) => `      let b${i} = tileB[${k * width + i * across}u + id.x];`)}
${products(each, parts)}
    }`)
  }
    workgroupBarrier();
  }
  let row = place.y * ${share}u + id.y * 4u;
  let col = place.x * ${share}u + id.x * 4u;
${
    lines(range(each), (r) =>
      lines(range(parts), (v) =>
        `  writeFour(row + ${r % 4 + 4 * across * Math.floor(r / 4)}u, col + ${4 * across * v}u, c${r}_${v});`))
  }
}
`;
  return {
    name: `tiled ${share}×${share} by ${each}×${each}`,
    tileRows: share,
    tileCols: share,
    share,
    code,
    threads,
    memory: 2 * tile * 16,
  };
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
