export function gpuRefineProducts(): void {
  throw new Error("todo");
}
