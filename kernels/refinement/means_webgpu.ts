export function gpuRefineMeans(): void {
  throw new Error("todo");
}
