"""Writes the PyTorch fixtures of this folder: python make_pytorch.py, then deno fmt (torch 2.13.0, transformers 5.23.0).

tiny_opt/       a random OPT as facebook/opt-* repositories hold it: sharded state dicts of the base model (no `model.`
                in the names), vocab.json, merges.txt, special tokens; no safetensors and no tokenizer.json
views.bin       views, shared storages, parameters and all types in one file; views_4.bin the same as pickle protocol 4
legacy.bin      the format before PyTorch 1.6
malicious.bin   a state dict with an object that runs a command when it is loaded
*.safetensors   what those files hold, as PyTorch loads them
tokens.json     texts and the ids that transformers' GPT2Tokenizer gives with tiny_opt's files
"""
import json, os, pathlib
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import OPTConfig, OPTModel

here = pathlib.Path(__file__).parent
folder = here / "tiny_opt"
folder.mkdir(exist_ok=True)
torch.manual_seed(0)


def dump(path, value, indent=None):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


# Tokenizer: the special tokens of OPT where OPT has them, bytes, merges learned from the texts below.
texts = [
    "In the beginning the whale was not a fish, and the fisherman wasn't a whale.",
    "  Two spaces, a tab\tand\n\nnew lines   \n with spaces between them.  ",
    "She'll say they've 3 or 42 or 2024 apples; he'd say ½ or ٣٤.",
    "naïve café – «quotes» … 日本語 🐳 and é",
    "special tokens: </s> is one, <pad> is one, <s> and <unk> are text",
    "</s>", " </s> x", "", "'s 'S 'Re", "don't  DON'T",
]
learner = Tokenizer(models.BPE())
learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
first = ["<s>", "<pad>", "</s>", "<unk>"]
learner.train_from_iterator(texts * 3, trainers.BpeTrainer(
    vocab_size=460, special_tokens=first, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
model = json.loads(learner.to_str())["model"]
dump(folder / "vocab.json", model["vocab"])
merges = [" ".join(merge) for merge in model["merges"]]
(folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
token = lambda content: {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
dump(folder / "tokenizer_config.json", {
    "errors": "replace", "add_prefix_space": False, "add_bos_token": True, "tokenizer_class": "GPT2Tokenizer",
    **{f"{name}_token": {"__type": "AddedToken", **token("</s>")} for name in ["unk", "bos", "eos"]},
    "pad_token": {"__type": "AddedToken", **token("<pad>")},
}, 1)
dump(folder / "special_tokens_map.json", {**{f"{name}_token": token("</s>") for name in ["bos", "eos", "unk"]}, "pad_token": token("<pad>")})

# Model: Facebook's files hold the base model in half precision.
size = len(model["vocab"])
config = OPTConfig(vocab_size=size, hidden_size=16, word_embed_proj_dim=16, ffn_dim=32, num_hidden_layers=2,
                   num_attention_heads=2, max_position_embeddings=32)
opt = OPTModel(config).half()
dump(folder / "config.json", {**json.loads(config.to_json_string()), "torch_dtype": "float16", "architectures": ["OPTForCausalLM"]}, 1)
state = opt.state_dict()
names = list(state)
half = next(i for i, name in enumerate(names) if ".layers.1." in name)
files = [f"pytorch_model-0000{i}-of-00002.bin" for i in [1, 2]]
weight_map = {}
for file, part in zip(files, [names[:half], names[half:]]):
    shard = type(state)((name, state[name]) for name in part)
    shard._metadata = state._metadata
    torch.save(shard, folder / file)
    weight_map |= {name: file for name in part}
total = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
dump(folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}, 1)
save_file({name: tensor.contiguous() for name, tensor in state.items()}, here / "tiny_opt.safetensors")

base = torch.randn(6, 8)
views = {
    "base": base,
    "transposed": base.t(),
    "rows": base[2:5],
    "columns": base[:, 3:6],
    "steps": base.flatten()[1::5],
    "permuted": torch.randn(2, 3, 4, dtype=torch.float64).permute(2, 0, 1),
    "tied": base,
    "parameter": torch.nn.Parameter(torch.randn(3, 2).half()),
    "brain": torch.randn(5).bfloat16(),
    "scalar": torch.tensor(3.5),
    "empty": torch.zeros(0, 4),
    "one_row": torch.randn(1, 7).t(),
    "long": torch.tensor([2**40, -1]),
    "int": torch.tensor([-5, 7], dtype=torch.int32),
    "short": torch.tensor([-300, 300], dtype=torch.int16),
    "char": torch.tensor([-3, 4], dtype=torch.int8),
    "byte": torch.tensor([250], dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
}
more = {"epoch": 3, "name": "views", "rate": 0.1, "size": torch.Size([1, 2]), "type": torch.float16, "big": -(2**40), "none": None}
torch.save({**views, **more}, here / "views.bin")
torch.save({**views, **more}, here / "views_4.bin", pickle_protocol=4)
save_file({name: tensor.detach().contiguous().clone() for name, tensor in views.items()}, here / "views.safetensors")
torch.save({"a": torch.ones(2)}, here / "legacy.bin", _use_new_zipfile_serialization=False)


class Malicious:
    def __reduce__(self):
        return os.system, ("echo executed",)


torch.save({"a": torch.ones(2), "b": Malicious()}, here / "malicious.bin")

from transformers import GPT2Tokenizer

tokenizer = GPT2Tokenizer.from_pretrained(folder)
cases = [{"text": text, "ids": tokenizer(text)["input_ids"], "plain": tokenizer(text, add_special_tokens=False)["input_ids"]} for text in texts]
dump(here / "tokens.json", cases)
