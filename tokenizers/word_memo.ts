/** Makes tokenizing a long text several times faster: a text of 270 000 words has 20 000 different ones. */
import {
  ByteLevelPreTokenizer,
  type PreTokenizer,
  SequencePreTokenizer,
  type Tokenizer as HuggingFaceTokenizer,
} from "@huggingface/tokenizers";

/** Words remembered at most; the memory is emptied when it is full. */
const MOST_WORDS = 1 << 17;

/** Longer words are rare and not remembered. */
const LONGEST_WORD = 128;

/**
 * Remembers what the two functions of a single word give: its bytes spelled as characters, and its tokens. Both are
 * pure, and the library applies them word by word, so that ids stay the same.
 */
export function rememberWords({ pre_tokenizer, model }: HuggingFaceTokenizer): void {
  for (const part of leaves(pre_tokenizer)) {
    if (part instanceof ByteLevelPreTokenizer && !part.use_regex && !part.add_prefix_space) {
      part.pre_tokenize_text = remembered(part.pre_tokenize_text.bind(part));
    }
  }
  if (model !== null) {
    const encode = model.encode.bind(model);
    const tokens = remembered((word) => encode([word]));
    model.encode = (words) => words.flatMap(tokens);
  }
}

function leaves(part: PreTokenizer | null): readonly PreTokenizer[] {
  if (part === null) return [];
  return part instanceof SequencePreTokenizer ? part.tokenizers.flatMap(leaves) : [part];
}

function remembered(make: (word: string) => string[]): (word: string) => string[] {
  const known = new Map<string, string[]>();
  return (word) => {
    let made = known.get(word);
    if (made !== undefined) return made;
    made = make(word);
    if (word.length <= LONGEST_WORD) {
      if (known.size >= MOST_WORDS) known.clear();
      known.set(word, made);
    }
    return made;
  };
}
