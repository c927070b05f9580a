"""Writes rust_ids.json and transformers_ids.json: tokenizers and the ids that the reference gives.

pip install tokenizers==0.22.2 transformers==4.57.6; python make_reference.py
"""
import copy, json, os, tempfile
import tokenizers, transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

CORPUS = ["the whale and the sea, the old man and the ship", "call me ishmael some years ago", "hello cat 12 123 it's don't"] * 20
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{i:02X}>" for i in range(256)]


def trained(pre, vocab, **options):
    t = Tokenizer(models.BPE(**options))
    t.pre_tokenizer = pre
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=len(vocab) + 70, special_tokens=vocab, show_progress=False,
                          initial_alphabet=[] if len(vocab) > 9 else pre_tokenizers.ByteLevel.alphabet()))
    j = json.loads(t.to_str())
    j["added_tokens"] = j["added_tokens"][:3]
    return j


PIECES = trained(pre_tokenizers.Metaspace(), SPECIAL + BYTES, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
PIECES.update(pre_tokenizer=None, normalizer={"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})
LETTERS = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), SPECIAL)
TOP = lambda j: max(j["model"]["vocab"].values()) + 1


def token(id, content, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}


def added(base):
    flags = [("<m>", {}), (" <mask>", {"lstrip": True}), ("<r>", {"rstrip": True}), ("cat", {"single_word": True}),
             ("hello", {"normalized": True}), ("[PAD]", {"normalized": True, "special": True}), ("<l>", {"lstrip": True, "rstrip": True, "single_word": True})]
    return base["added_tokens"] + [token(TOP(base) + i, content, **f) for i, (content, f) in enumerate(flags)]


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": regex if isinstance(regex, dict) else {"Regex": regex}, "behavior": behavior, "invert": invert}


def level(**options):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False, **options}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def metaspace(scheme, cut):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


def template(*names):
    ids = {name: PIECES["model"]["vocab"][name] for name in names if name != "A"}
    return {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}} if n == "A" else {"SpecialToken": {"id": n, "type_id": 0}} for n in names],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {n: {"id": n, "ids": [i], "tokens": [n]} for n, i in ids.items()}}


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
TEXTS = ["", " ", "\n\n \n", "hello world", " The  whale ", "a\u00a0b\u3000c\u2028d\u0085e\ufefff\u200bg\u180eh", "\ufeffthe\x00\x1c", "cafe\u0301 ﬁ ½ Ⅷ ٣4²",
         "🙂👩‍👩‍👧 𝐀", "天地 宇宙の", "שלום עולם", "<s>the</s>", "say hello, hello!cat", "a <mask> b  <mask>c", "x <r>   y<r>z", "cat concat cats cat. a cat", "x  <l>  y<l>", "<m><m>[PAD]x",
         "I'LL we've don'T it'ſ", "1234567 12 3.14", "line\r\nline\rline\n", "\t(x):\n    y  ", "“sea” — don’t…", "ΑΣ ſ K İ", "<0x41><unk>", "▁the▁ ▁sea ▁", "the" * 40]
S, B = {"base": "pieces"}, {"base": "letters"}
CASES = {
    "llama 2": {**S, "added_tokens": added(PIECES), "post_processor": template("<s>", "A")},
    "unknown characters apart": {**S, "model": {"byte_fallback": False, "fuse_unk": False}},
    "unknown characters together": {**S, "model": {"byte_fallback": False}},
    "neither unknown token nor bytes": {**S, "model": {"byte_fallback": False, "unk_token": None}},
    "merges as text": {**S, "model": {"merges": [" ".join(m) for m in PIECES["model"]["merges"]]}},
    "truncation and padding are not transformers'": {**S, "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}},
    **{f"Metaspace {scheme} {cut}": {**S, "normalizer": None, "pre_tokenizer": metaspace(scheme, cut), "added_tokens": added(PIECES)} for scheme in ("first", "always", "never") for cut in (True, False)},
    "Metaspace as it was": {**S, "normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}},
    "end of word": {**B, "pre_tokenizer": level(use_regex=True), "model": {"end_of_word_suffix": "</w>", "unk_token": "<unk>"}},
    "llama 3": {**B, "pre_tokenizer": sequence(split(LLAMA3), level()), "model": {"ignore_merges": True}, "added_tokens": added(LETTERS), "post_processor": {"type": "Sequence", "processors": [level(), template("<s>", "A", "</s>")]}},
    "GPT-4": {**B, "pre_tokenizer": sequence(split(CL100K), level())},
    "tiktoken": {**B, "pre_tokenizer": sequence(split(LLAMA3, "Removed", True), level())},
    "GPT-2 with a space": {**B, "pre_tokenizer": level(use_regex=True, add_prefix_space=True), "added_tokens": added(LETTERS)},
    **{f"Split {behavior} {invert}": {**B, "pre_tokenizer": sequence(split(r"\s|a", behavior, invert), level())} for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous") for invert in (False, True)},
    **{f"Regex {regex}": {**B, "pre_tokenizer": sequence(split(regex, "Contiguous"), level())} for regex in (r"\w+", r"[\w-]+", r"\W", r"[\W\d]", r"\b", r"\d", r"\D", r"a*", r"^.", r"\s*+$", r"(?>a|ab)t?", r"\p{^L}", r"a{,2}", r"\d{2}+")},
    "Split String": {**B, "pre_tokenizer": sequence(split({"String": "."}), level())},
    **{name: {**B, "pre_tokenizer": sequence({"type": name, **more}, level())} for name, more in (("Whitespace", {}), ("WhitespaceSplit", {}), ("Punctuation", {"behavior": "MergedWithPrevious"}), ("Digits", {"individual_digits": False}), ("BertPreTokenizer", {}), ("CharDelimiterSplit", {"delimiter": "e"}))},
    **{name: {**B, "normalizer": {"type": name}, "pre_tokenizer": level(), "added_tokens": added(LETTERS)} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")},
    "Strip": {**B, "normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}, "pre_tokenizer": level()},
    "Replace": {**B, "normalizer": {"type": "Replace", "pattern": {"Regex": "\\s{2,}"}, "content": " "}, "pre_tokenizer": level()},
    "RobertaProcessing": {**B, "pre_tokenizer": level(), "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": True, "add_prefix_space": True}},
    "BertProcessing": {**B, "pre_tokenizer": level(), "post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}},
}


def build(case):
    tokenizer = copy.deepcopy(PIECES if case["base"] == "pieces" else LETTERS)
    tokenizer["model"].update(case.get("model", {}))
    tokenizer.update({k: v for k, v in case.items() if k not in ("base", "model")})
    return tokenizer


def rust(case):
    t = Tokenizer.from_str(json.dumps(build(case)))
    t.no_truncation()
    return [t.encode(text).ids for text in TEXTS]


def classes():
    for name in ("LlamaTokenizer", "LlamaTokenizerFast", "PreTrainedTokenizerFast", None):
        for post in (None, template("<s>", "A")):
            for add in (None, True, False):
                yield "pieces", name, post, {} if add is None else {"add_bos_token": add}
    for name in ("PreTrainedTokenizerFast", "LlamaTokenizerFast", "LlamaTokenizer"):
        for post in (None, template("<s>", "A")):
            for add in (None, True):
                yield "letters", name, post, {} if add is None else {"add_bos_token": add}
    post = template("<s>", "A")
    yield "pieces", "LlamaTokenizer", post, {"legacy": False}
    yield "pieces", "LlamaTokenizer", post, {"add_eos_token": True}
    yield "letters", "GPT2Tokenizer", None, {"add_bos_token": True}
    yield "letters", "GPTNeoXTokenizerFast", post, {}
    yield "letters", "Qwen2Tokenizer", None, {"pad_token": "<pad>", "additional_special_tokens": ["<extra>"]}
    yield "letters", "PreTrainedTokenizerFast", None, {"add_prefix_space": True}


def by_transformers():
    texts = ["the whale", " two  men", "<s>x</s> y", "<unk><pad><extra>", ""]
    for base, name, post, more in classes():
        config = {"bos_token": "<s>", "eos_token": "</s>", **({"unk_token": "<unk>"} if base == "pieces" else {}), **({"tokenizer_class": name} if name else {}), **more}
        case = {"base": base, "post_processor": post, **({"pre_tokenizer": level(use_regex=True)} if base == "letters" else {})}
        with tempfile.TemporaryDirectory() as folder:
            for file, value in (("tokenizer.json", build(case)), ("tokenizer_config.json", config), ("config.json", {"model_type": "llama"})):
                json.dump(value, open(os.path.join(folder, file), "w"))
            t = transformers.AutoTokenizer.from_pretrained(folder)
            yield {"case": case, "config": config, "ids": [t(text)["input_ids"] for text in texts]}
    yield texts


def write(name, value):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "w") as file:
        json.dump(value, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


write("rust_ids.json", {"tokenizers": tokenizers.__version__, "bases": {"pieces": PIECES, "letters": LETTERS}, "texts": TEXTS,
                        "cases": {name: {**case, "ids": rust(case)} for name, case in CASES.items()}})
*rows, texts = by_transformers()
write("transformers_ids.json", {"transformers": transformers.__version__, "texts": texts, "rows": rows})
