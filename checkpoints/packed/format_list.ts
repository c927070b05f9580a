/** The formats of packed layers that this version knows: a file, named as the format, and a line each. */
export { coded } from "./coded.ts";
export { grid } from "./grid.ts";
export { planes } from "./planes.ts";
export { sparse } from "./sparse.ts";
export { refined } from "./refined.ts";
export { gridStack } from "./grid_stack.ts";
export { codedStack } from "./coded_stack.ts";
export { planesEntropy } from "./planes_entropy.ts";
export { refinedEntropy } from "./refined_entropy.ts";
export { gridEntropy } from "./grid_entropy.ts";
export { sparseEntropy } from "./sparse_entropy.ts";
export { gridStackEntropy } from "./grid_stack_entropy.ts";
