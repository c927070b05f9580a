/** Dependent quantization: its trellises, and what the coder of its codes knows beforehand. The only door into this room. */
export { contextOf, CONTEXTS, ESCAPE, lowBits, MAX_CODE, SIZE_STEPS, sizeOf, SYMBOLS } from "./contexts.ts";
export { noStretches, roundBlock, type RoundedBlock, sizeIndex, type TrellisBlock } from "./block.ts";
export { COSTS, partsOf, type Rounding } from "./round.ts";
export { pointOf, STATES, type States, type Trellis, trellisOf } from "./states.ts";
export { logNear, logOfStep, MAX_STEP, STEP_PARTS, stepOf } from "./steps.ts";
