export function gpuChooseSplit(): void {
  throw new Error("todo");
}
export function gpuSplitCandidates(): void {
  throw new Error("todo");
}
export function gpuSplitResiduals(): void {
  throw new Error("todo");
}
