/**
 * spbo: stepwise pruning with binarization optimisation (PBS²P, arXiv 2502.01705) of one column block: groups, signs and scales.
 */
import * as z from "zod";
import { type Device, type Matrix, matrix, part } from "../../kernels/device.ts";
import {
  alternate,
  type BlockShape,
  decode,
  prune,
  rescale,
  resign,
  searchSalient,
  searchSegments,
  solveJoint,
  startPlain,
  startScales,
} from "../../kernels/binary/ops.ts";
import { gemm, subtract } from "../../kernels/matrix/ops.ts";
import { importance } from "../../kernels/scores/ops.ts";
import { error, type Rule, warning } from "../../recipes/language.ts";
import { count } from "../../recipes/words.ts";
import { type BlockPlanes, PlanesRun } from "../planes_run.ts";
import type { Scope } from "../scope.ts";
import type { Block, Method, MethodLayer } from "./method.ts";

const target = z.enum(["weights", "weighted", "scores"]);
type Target = z.infer<typeof target>;

const Params = z.strictObject({
  group_size: count(8, 65_536).default(128).describe("Consecutive inputs (columns) that share scales (PBS²P: 128)"),
  salient: z.boolean().default(true).describe("Binarize the most salient columns twice (BiLLM)"),
  salient_max: count(1, 4096).default(49).describe("Columns: at most so many are salient; clamped to group width − 1"),
  split_points: count(0, 3).default(2).describe("Thresholds of |w| that make segments of their own scales"),
  split_search: z.enum(["free", "doubled"]).default("free").describe(
    "Thresholds chosen freely, or the second twice the first (STBLLM)",
  ),
  split_on: z.enum(["kept", "all"]).default("kept").describe("Weights that the searches look at"),
  candidates: count(3, 400).default(40).describe("Percentiles tried as thresholds, from 10 % to 90 %"),
  search_grid: z.enum(["full", "coarse"]).default("full").describe(
    "Every number of salient columns and every choice of thresholds is tried; or, coarse, every sixth number and then " +
      "around the best, and every second percentile in turn for each of several thresholds",
  ),
  search_target: z.union([
    target,
    z.strictObject({
      salient: target.describe("For the choice of salient columns"),
      segments: target.describe("For the choice of thresholds"),
    }),
  ]).default("weights").describe(
    "What the searches binarize to judge a choice: weights, weights weighted by 1/U² per column, or scores " +
      "(the official BiLLM, ARB-LLM and STBLLM)",
  ),
  solver: z.enum(["alternate", "joint", "none"]).default("alternate").describe(
    "Scales: PBS²P's alternating rounds, one least-squares solve over all groups, or none = prune, then binarize",
  ),
  schedule: z.enum(["stepwise", "oneshot"]).default("stepwise").describe(
    "Prune one weight of every M at a time with rounds between (PBS²P), or all at once",
  ),
  iterations: count(0, 10_000).default(15).describe("Rounds per step, T in PBS²P (solver alternate)"),
  resign: count(0, 100).default(0).describe("Sweeps that choose signs again, each followed by a solve"),
  profile: z.enum(["free", "binary", "ternary"]).default("free").describe(
    "Codes that others' types hold exactly: binary, ±d (GGUF Q1_0: groups of 128, nothing pruned), or ternary, −d, 0, d (Q2_0: " +
      "groups of 64); one segment, no salient columns and no mean, scales in float16",
  ),
  block_metric: z.enum(["raw", "conditional"]).default("raw").describe(
    "What solver and resign weigh errors by: the block of H (PBS²P), or what is left of it once later columns absorb what they can",
  ),
});

/** Settings of the method. */
export type SpboParams = z.infer<typeof Params>;

type PathOf = (key: string) => string;

const rules: readonly ((path: PathOf) => Rule)[] = [
  (path) => {
    const [groupSize, most, salient] = [path("group_size"), path("salient_max"), path("salient")];
    return {
      reads: [groupSize, most, salient],
      check({ value }) {
        const width = value<number>(groupSize) ?? 0;
        if (!value(salient) || (value<number>(most) ?? 0) < width) return [];
        return [warning(most.split("."), `salient_max is clamped to ${width - 1}`, {
          note: `a group has ${width} columns, and one at least is not salient`,
        })];
      },
    };
  },
  (path) => {
    const [search, points] = [path("split_search"), path("split_points")];
    return {
      reads: [search, points],
      check({ value, blame }) {
        if (value(search) !== "doubled" || value(points) === 2) return [];
        return [error(blame(points, search), `split_search doubled needs split_points 2: it is ${value(points)}`, {
          note: "it sets the second threshold to twice the first",
        })];
      },
    };
  },
  (path) => {
    const [solver, resign] = [path("solver"), path("resign")];
    return {
      reads: [solver, resign],
      check({ value }) {
        if (value(solver) !== "none" || value(resign) === 0) return [];
        return [error(resign.split("."), "resign needs a solver, and solver is none", {
          allowed: "resign 0, or solver alternate or joint",
        })];
      },
    };
  },
  profileRule,
  (path) => {
    const metric = path("block_metric"), mode = "stages.compensate.mode";
    return {
      reads: [metric, mode],
      partial: true,
      check({ value, blame }) {
        if (value(metric) !== "conditional" || !["none", undefined].includes(value<string>(mode))) return [];
        return [error(blame(metric, mode), "block_metric conditional needs errors to be fed on, and nothing does so", {
          allowed: "block_metric raw, or a stage compensate of mode exact, diagonal or columnwise",
        })];
      },
    };
  },
];

/** Columns of a block of the type that a profile is for. */
const PROFILE_COLUMNS = { binary: 128, ternary: 64 } as const;

/** What a profile asks of the other settings. */
function profileRule(path: PathOf): Rule {
  const [profile, solver, group] = ["profile", "solver", "group_size"].map(path);
  const [scales, type, keep, of] = ["pack.scales", "fine-search.type", "coarse-search.keep", "coarse-search.of"]
    .map((each) => `stages.${each}`);
  const fixed = [[path("salient"), false], [path("split_points"), 0], [scales, "f16"]] as const;
  return {
    reads: [profile, solver, group, scales, type, keep, of, path("salient"), path("split_points")],
    partial: true,
    check({ value, blame }) {
      const chosen = value<SpboParams["profile"]>(profile) ?? "free";
      if (chosen === "free") return [];
      const wrong: (readonly [string, string])[] = [];
      for (const [key, wanted] of fixed) {
        if (value(key) !== undefined && value(key) !== wanted) wrong.push([key, `${wanted}`]);
      }
      const columns = PROFILE_COLUMNS[chosen];
      if ((value<number>(group) ?? columns) % columns !== 0) wrong.push([group, `a multiple of ${columns}`]);
      if (value(solver) === "none") wrong.push([solver, "alternate or joint, which are one for a single scale"]);
      const pruned = (value(type) ?? "none") !== "none" && value(keep) !== value(of);
      if (chosen === "binary" && pruned) wrong.push([type, "none, or keep as many as of"]);
      return wrong.map(([key, wanted]) =>
        error(blame(key, profile), `profile ${chosen} needs ${key.split(".").at(-1)} ${wanted}: it is ${value(key)}`)
      );
    },
  };
}

/** The method; see the file's head. */
export const spbo: Method<SpboParams> = {
  name: "spbo",
  label: "pbs2p",
  summary: "Stepwise pruning with binarization optimisation, on one group of columns at a time",
  params: Params,
  rules,
  needs: ["statistics"],
  format: "planes",
  groupKeys: ["group_size"],
  groupSize: ({ group_size }) => group_size,
  reads,
  open(device, scope, open) {
    const { params, job: { keep, of, settings: { search: { type } } } } = open;
    const shape = { segments: params.split_points + 1, salient: params.salient };
    const binarizer = new Binarizer(device, scope, { open, shape });
    return new PlanesRun(device, scope, open, {
      shape,
      mask: { keep: type === "none" ? of : keep, of, type },
      binarize: (block, planes) => binarizer.binarize(block, planes),
    });
  },
};

/**
 * Settings that matter for the others, so that, say, a change of `iterations` re-runs nothing where the joint solver needs
 * none.
 */
function reads({ salient, split_points: points, split_search: search, solver, profile }: SpboParams): string[] {
  const free = profile === "free";
  const chosen: Readonly<Record<string, boolean>> = {
    solver: free,
    salient_max: salient,
    split_search: points === 2,
    split_on: salient || points > 0,
    candidates: points > 0,
    search_grid: salient || (points > 1 && search === "free"),
    search_target: salient || points > 0,
    schedule: free && solver === "alternate",
    iterations: free && solver === "alternate",
    block_metric: solver !== "none",
  };
  return Object.keys(Params.shape).filter((key) => chosen[key] ?? true);
}

/** What binarizes the column blocks of one layer. */
class Binarizer {
  readonly #device: Device;
  readonly #open: MethodLayer<SpboParams>;
  readonly #shape: BlockShape;
  readonly #salient: Matrix<"u8">;
  /** Hessian scores, which order the salient columns whatever the metric; undefined where the ranks' scores are these. */
  readonly #order: Matrix | undefined;
  /** width × width: G of a block; undefined where errors are weighed by S. */
  readonly #conditional: Matrix | undefined;

  constructor(device: Device, scope: Scope, { open, shape }: {
    readonly open: MethodLayer<SpboParams>;
    readonly shape: BlockShape;
  }) {
    const { job: { rows, cols, ranks, settings: { search } }, params, group } = open, width = Math.min(group, cols);
    this.#device = device;
    this.#open = open;
    this.#shape = shape;
    this.#salient = scope.matrix("u8", 1, width);
    if (search.metric !== "hessian" || ranks) this.#order = scope.matrix("f32", rows, width);
    if (params.block_metric === "conditional") this.#conditional = scope.matrix("f32", width, width);
  }

  binarize(block: Block, { codes, scales }: BlockPlanes): void {
    const { layer, params, pruned } = this.#open, shape = this.#shape, device = this.#device;
    const { target: w, rank } = block, { cols } = w, gram = this.#gramOf(block);
    if (params.profile !== "free") return this.#plain(block, { codes, scales });
    const salient = matrix(this.#salient.buffer, 1, cols);
    const seen = { rank, pruned: params.split_on === "kept" ? pruned : 0 };
    const diagonalU = part(layer.diagonalU, { col: block.col, cols });
    const order = this.#order ? matrix(this.#order.buffer, w.rows, cols) : block.score;
    if (this.#order) device.run(importance, order, w, { metric: "hessian", diagonalU });
    const columnWeight = part(layer.columnWeight, { col: block.col, cols });
    const targets = typeof params.search_target === "string"
      ? { salient: params.search_target, segments: params.search_target }
      : params.search_target;
    const coarse = params.search_grid === "coarse";
    const judged = (target: Target) => ({
      values: target === "scores" ? order : w,
      columnWeight: target === "weighted" ? columnWeight : undefined,
    });
    if (shape.salient) {
      device.run(searchSalient, salient, {
        ...seen,
        ...judged(targets.salient),
        score: order,
        most: params.salient_max,
        coarse,
      });
    }
    device.run(searchSegments, codes, {
      ...seen,
      ...judged(targets.segments),
      w,
      salient,
      splitPoints: splitPoints(params.split_points),
      search: params.split_search,
      candidates: params.candidates,
      coarse,
    });
    if (params.solver === "none") {
      device.run(startScales, codes, scales, { ...shape, rank, w, pruned, salientPruned: pruned });
    } else device.run(startScales, codes, scales, { ...shape, ...seen, w, salientPruned: 0 });
    const rounds = { ...shape, rank, pruned, w, gram, codes, iterations: params.iterations };
    if (params.solver === "alternate") device.run(alternate, scales, { ...rounds, schedule: params.schedule });
    device.run(prune, codes, { rank, pruned });
    const solve = () => {
      device.run(gemm, block.product, w, gram);
      device.run(solveJoint, scales, { ...shape, target: block.product, gram, codes });
    };
    if (params.solver === "joint") solve();
    for (let sweep = 0; sweep < params.resign; sweep++) {
      device.run(decode, block.decoded, { ...shape, codes, scales });
      device.run(subtract, block.scratch, w, block.decoded);
      device.run(gemm, block.product, block.scratch, gram);
      device.run(resign, codes, { ...shape, residual: block.product, gram, scales });
      if (params.solver === "joint") solve();
      else device.run(alternate, scales, { ...rounds, schedule: "oneshot" });
    }
  }

  /** As `binarize`, with one scale a row and no mean: its best value is known at once, whatever the solver. */
  #plain(block: Block, { codes, scales }: BlockPlanes): void {
    const { params, pruned } = this.#open, shape = this.#shape, device = this.#device;
    const { target: w, rank } = block, gram = this.#gramOf(block);
    const solve = () => {
      device.run(decode, block.decoded, { ...shape, codes, scales });
      device.run(gemm, block.scratch, block.decoded, gram);
      device.run(gemm, block.product, w, gram);
      device.run(rescale, scales, { decoded: block.decoded, target: block.product, product: block.scratch });
    };
    device.run(startPlain, codes, scales, { w, rank, pruned });
    solve();
    for (let sweep = 0; sweep < params.resign; sweep++) {
      device.run(decode, block.decoded, { ...shape, codes, scales });
      device.run(subtract, block.scratch, w, block.decoded);
      device.run(gemm, block.product, block.scratch, gram);
      device.run(resign, codes, { ...shape, residual: block.product, gram, scales });
      solve();
    }
  }

  /**
   * What errors of a block cost: S_b, or G_b = R_bb·R_bbᵀ (H = R·Rᵀ, R upper). Where errors are fed on exactly, what a layer comes to is
   * Σ_b ‖(T_b − Ŵ_b)·R_bb‖²: S_b also charges what later blocks then absorb.
   */
  #gramOf({ gram, index, col }: Block): Matrix {
    const { factor } = this.#open.layer;
    if (!this.#conditional || !factor) return gram;
    const corner = part(factor.panels[index], { row: col }),
      out = matrix(this.#conditional.buffer, gram.rows, gram.cols);
    this.#device.run(gemm, out, corner, corner, { transposeB: true });
    return out;
  }
}

function splitPoints(count: number): 0 | 1 | 2 | 3 {
  if (count === 0 || count === 1 || count === 2 || count === 3) return count;
  throw new RangeError(`Cannot split weights as split_points must be 0..3: current value is ${count}`);
}
