/** One layer's work and what comes of it. */
import type { ImportanceMetric, PruningType } from "../kernels/scores/ops.ts";
import type { LayerContent } from "../checkpoints/packed/format.ts";

/** A file that brings methods; it goes to workers with their jobs. */
export interface MethodSource {
  /** Of the module. */
  readonly url: string;
  /** Hex sha256 of it and of what it imports of its own, by absolute path, as the run's keys have them. */
  readonly files: Readonly<Record<string, string>>;
}

/** Settings that a layer's result depends on, from all stages of a recipe. */
export interface LayerSettings {
  /** Name of the method, in `methods/mod.ts` or in its source. */
  readonly method: string;
  /** The file that the method comes from, where it is none of this project's. */
  readonly source?: MethodSource;
  /** Settings of the method; what is left out stands at its default. */
  readonly params: unknown;
  /** How weights are ranked. */
  readonly search: { readonly metric: ImportanceMetric; readonly type: PruningType; readonly seed: number };
  /** How a column block's error is fed to later ones; damping is a share of the mean of diag(H). */
  readonly feedback: {
    readonly mode: "diagonal" | "exact" | "columnwise" | "none";
    readonly damping: number;
  };
  /** Type that scales are stored in: errors are formed with the values that will be stored. */
  readonly scales: "f16" | "f32";
}

/** What a layer's weights are moved by towards its outputs in the original model (`propagate.ts`). */
export interface Propagation {
  /** C = (2/ns)·X_oᵀX by rows, cols × cols, in the units of the Hessian; X_o are the inputs in the original model, X those now. */
  readonly cross: Float32Array;
  /**
   * (2/ns)·(R_o − R)ᵀX by rows, rows × cols, where what the layer puts out is added to a residual stream, R now and R_o in the original
   * model, and it is to make up for their difference. In the units of the Hessian, times those that weights come in.
   */
  readonly residual?: Float32Array;
  /** p: from 0, the layer's own weights, to 1; `auto`: what the halves say (`choose_propagation.ts`). */
  readonly share: number | "auto";
  /** Times the mean of diag(H), added to the diagonals of C and H; or `auto`. */
  readonly damping: number | "auto";
  /** What the first half of the windows comes to in H, C and the residual's, in their units, where something is `auto`. */
  readonly half?: { readonly upper: Float32Array; readonly cross: Float32Array; readonly residual?: Float32Array };
}

/** How far a layer's weights move, where that is chosen. */
export type ChosenPropagation = {
  /** p, from 0 to 1. */
  readonly share: number;
  readonly damping: number;
};

/** What is needed to choose a layer's masks. The arrays are handed over: they must not be used after the call. */
export interface MaskJob {
  /** For people, in errors and events. */
  readonly name: string;
  /** Outputs. */
  readonly rows: number;
  /** Inputs. */
  readonly cols: number;
  /** rows × cols */
  readonly weight: Float32Array;
  /** Packed upper triangle of the undamped Hessian (`packUpper`); H = I where only weights matter. */
  readonly upper?: Float32Array;
  /** Packed upper triangle of the undamped Hessian on windows that are held out, up to a factor: errors are measured on it, too. */
  readonly heldOut?: Float32Array;
  /** Where there is no Hessian: its diagonal up to a factor, for metrics that look at the norms of inputs. */
  readonly diagonal?: Float32Array;
  /** Where what the layer puts out in the original model is to be met, instead of what its weights put out on the inputs it now sees. */
  readonly propagation?: Propagation;
  /** M of N:M; 1 where nothing is pruned. */
  readonly of: number;
  readonly settings: LayerSettings;
}

/** One layer to compress. */
export interface LayerJob extends MaskJob {
  /** N of N:M. */
  readonly keep: number;
  /**
   * rows × cols: ranks from `searchMasks` (mask_from: original); else each column block is ranked on its updated
   * weights.
   */
  readonly ranks?: Uint8Array;
  /** Stored bits a weight, where this layer's are given; else the method's budget is its own setting. */
  readonly bits?: number;
}

/** Seconds by stage. */
export type LayerSeconds = Readonly<Record<string, number>>;

/** A compressed layer and how far it is from the original. */
export interface LayerResult {
  readonly name: string;
  readonly layer: LayerContent;
  /**
   * tr((W−Ŵ)H(W−Ŵ)ᵀ)/tr(WHWᵀ) on the undamped H; 0 for a layer without energy. W is what was to be met: with `propagation` not the
   * layer's own weights.
   */
  readonly error: number;
  /** The same on the Hessian of windows that are held out, where there is one. */
  readonly heldOutError?: number;
  /** How far weights have moved towards the outputs in the original model, and how damped, where it was chosen. */
  readonly propagation?: ChosenPropagation;
  readonly seconds: LayerSeconds;
}

/** A layer's masks for every N. */
export interface MaskResult {
  readonly name: string;
  /** rows × cols: "keep N" is rank ≥ of − N. */
  readonly ranks: Uint8Array;
  readonly seconds: LayerSeconds;
}

/** The job with each of its moments, which jobs may share, as `make` gives it. */
export function withMoments<J extends MaskJob>(job: J, make: (moments: Float32Array) => Float32Array): J {
  const { upper, heldOut, propagation } = job;
  return {
    ...job,
    ...(upper && { upper: make(upper) }),
    ...(heldOut && { heldOut: make(heldOut) }),
    ...(propagation && {
      propagation: {
        ...propagation,
        cross: make(propagation.cross),
        ...(propagation.residual && { residual: make(propagation.residual) }),
        ...(propagation.half && {
          half: {
            upper: make(propagation.half.upper),
            cross: make(propagation.half.cross),
            ...(propagation.half.residual && { residual: make(propagation.half.residual) }),
          },
        }),
      },
    }),
  };
}

/** All moments of a job. */
export function momentsOf(job: MaskJob): Float32Array[] {
  const found: Float32Array[] = [];
  withMoments(job, (moments) => {
    found.push(moments);
    return moments;
  });
  return found;
}
