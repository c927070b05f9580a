export function gpuDecodeRefined(): void {
  throw new Error("todo");
}
export function gpuTakeGroups(): void {
  throw new Error("todo");
}
