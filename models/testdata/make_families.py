"""Random tiny checkpoints of each family, and what transformers computes from them.

python models/testdata/make_families.py

Made once with transformers 5.24.0 and torch 2.14.1 (CPU, float32, eager attention); other versions may round the logits otherwise.
Writes, beside this file, a folder a model: config.json and model.safetensors as transformers saves them, and
reference.safetensors with `ids` [windows, length], `states` [blocks, windows, length, hidden] (what enters each block)
and `logits` [windows, length, vocab].
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import MistralConfig, MistralForCausalLM
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers import Qwen3Config, Qwen3ForCausalLM

SIZES = dict(
    hidden_size=64,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=96,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
    attn_implementation="eager",
)
WINDOW = 16

# Name: model class, configuration, length of the reference's windows.
MODELS = {
    "qwen2-tied": (Qwen2ForCausalLM, Qwen2Config(**SIZES, tie_word_embeddings=True), 24),
    "qwen2-untied": (Qwen2ForCausalLM, Qwen2Config(**SIZES, tie_word_embeddings=False, rope_theta=1e6), 24),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=32, tie_word_embeddings=True), 24),
    "mistral": (MistralForCausalLM, MistralConfig(**SIZES, head_dim=16, sliding_window=WINDOW), WINDOW),
}


def randomise(model):
    """Weights large enough for attention to choose; norms about one and biases about zero, but neither exactly."""
    for name, values in model.named_parameters():
        if name.endswith("norm.weight"):
            values.normal_(1, 0.2)
        elif name.endswith("bias"):
            values.normal_(0, 0.2)
        else:
            values.normal_(0, 0.2)


@torch.no_grad()
def main():
    for seed, (name, (kind, config, length)) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        model = kind(config).float().eval()
        randomise(model)
        folder = Path(__file__).parent / name
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        ids = torch.randint(0, config.vocab_size, (2, length))
        result = model(ids, output_hidden_states=True, use_cache=False)
        # The last states are those after the final norm.
        states = torch.stack(result.hidden_states[:-1])
        tensors = {"ids": ids.int(), "states": states, "logits": result.logits}
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "reference.safetensors")
        if getattr(config, "sliding_window", None) is not None:
            check_slides(model, config)


def check_slides(model, config):
    """Beyond the window the model is another than with full attention: else the limit would have no sense."""
    ids = torch.randint(0, config.vocab_size, (1, 2 * WINDOW))
    sliding = model(ids).logits
    whole = type(model)(type(config)(**{**config.to_dict(), "sliding_window": None}))
    whole.load_state_dict(model.state_dict())
    difference = (whole.float().eval()(ids).logits - sliding).abs().amax(-1)[0]
    assert difference[:WINDOW].max() < 1e-4 < difference[WINDOW:].max(), difference


main()
