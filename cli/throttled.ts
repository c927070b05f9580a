/** Progress for people. */

/**
 * Prints what is going on, but not more often than people can read.
 *
 * @param options `every`: milliseconds between two messages; `late`: whether the first, too, comes only after so long, as what is done
 * at once is not worth a word
 */
export function throttled(
  print: (message: string) => void,
  { every = 1000, late = false }: { readonly every?: number; readonly late?: boolean } = {},
): (message: string) => void {
  let last = late ? performance.now() : -Infinity;
  return (message) => {
    const now = performance.now();
    if (now - last < every) return;
    last = now;
    print(message);
  };
}
