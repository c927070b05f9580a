/** Makes tokenizing a long text several times faster: a text of 270 000 words has 20 000 different ones. */

/** Words remembered at most; the memory is emptied when it is full. */
const MOST_WORDS = 1 << 17;

/** Longer words are rare and not remembered. */
const LONGEST_WORD = 128;

/** Remembers what a pure function of a word gives. */
export function remembered<T>(make: (word: string) => T): (word: string) => T {
  const known = new Map<string, T>();
  return (word) => {
    const found = known.get(word);
    if (found !== undefined) return found;
    const made = make(word);
    if (word.length <= LONGEST_WORD) {
      if (known.size >= MOST_WORDS) known.clear();
      known.set(word, made);
    }
    return made;
  };
}
