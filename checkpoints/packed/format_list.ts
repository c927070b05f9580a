/** The formats of packed layers that this version knows: a file, named as the format, and a line each. */
export { coded } from "./coded.ts";
export { grid } from "./grid.ts";
export { planes } from "./planes.ts";
export { sparse } from "./sparse.ts";
export { refined } from "./refined.ts";
export { gridStack } from "./grid_stack.ts";
export { codedStack } from "./coded_stack.ts";
