"""Tiny random models of each family, with one small tokenizer, as ordinary Hugging Face folders."""

from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Bytes that no UTF-8 text holds; their places go to the special tokens and ten merges, so 256 words suffice.
ABSENT_BYTES = {0xC0, 0xC1, *range(0xF5, 0x100)}
MERGES = [
    ("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("Ġ", "a"),
    ("r", "e"), ("o", "n"), ("e", "r"), ("Ġ", "w"), ("Ċ", "Ċ"),
]  # fmt: skip

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

SHAPE = {
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    # Small, so that the wavelengths of a 16-wide head fall on all three sides of the scaling rule.
    "original_max_position_embeddings": 64,
}


@dataclass
class Family:
    """One tiny model: the classes that make it, its own settings and its seed."""

    model: type
    config: type
    settings: dict
    seed: int


def plain_rope(theta):
    return {"rope_type": "default", "rope_theta": theta}


FAMILIES = {
    "tiny-llama": Family(
        LlamaForCausalLM,
        LlamaConfig,
        {"tie_word_embeddings": False, "rope_parameters": plain_rope(10000.0), "rms_norm_eps": 1e-5},
        1,
    ),
    "tiny-llama3-rope": Family(
        LlamaForCausalLM,
        LlamaConfig,
        {"tie_word_embeddings": True, "rope_parameters": LLAMA3_ROPE, "rms_norm_eps": 1e-5},
        2,
    ),
    "tiny-qwen2": Family(
        Qwen2ForCausalLM,
        Qwen2Config,
        {"tie_word_embeddings": True, "rope_parameters": plain_rope(1000000.0), "rms_norm_eps": 1e-6},
        3,
    ),
    "tiny-qwen3": Family(
        Qwen3ForCausalLM,
        Qwen3Config,
        # Heads wider than hidden size over heads, as in the published small models of this family.
        {
            "tie_word_embeddings": False,
            "rope_parameters": plain_rope(1000000.0),
            "rms_norm_eps": 1e-6,
            "head_dim": 24,
        },
        4,
    ),
    "tiny-qwen3-tied": Family(
        Qwen3ForCausalLM,
        Qwen3Config,
        {
            "tie_word_embeddings": True,
            "rope_parameters": plain_rope(1000000.0),
            "rms_norm_eps": 1e-6,
            "head_dim": 16,
            "num_hidden_layers": 3,
            "intermediate_size": 64,
        },
        5,
    ),
}


def byte_letters():
    """The printable letter that byte-level BPE writes for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters.update({byte: chr(256 + index) for index, byte in enumerate(others)})
    return letters


def make_tokenizer():
    """A byte-level BPE tokenizer of exactly 256 words: 3 special, 243 bytes, 10 merges."""
    letters = [letter for byte, letter in sorted(byte_letters().items()) if byte not in ABSENT_BYTES]
    words = [*SPECIAL, *letters, *(left + right for left, right in MERGES)]
    vocab = {word: index for index, word in enumerate(words)}
    if len(vocab) != SHAPE["vocab_size"]:
        raise ValueError(f"the vocabulary has {len(vocab)} words instead of {SHAPE['vocab_size']}")
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )


def make_model(family):
    """A random model whose logits are far apart: matrices, biases and norms all differ from their defaults."""
    config = family.config(**{**SHAPE, **family.settings}, architectures=[family.model.__name__])
    model = family.model(config).float().eval()
    generator = torch.Generator().manual_seed(family.seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("norm.weight"):
                weight.copy_(1 + 0.2 * noise)
            elif weight.dim() == 1:
                weight.copy_(0.3 * noise)
            elif "embed_tokens" in name or "lm_head" in name:
                weight.copy_(0.3 * noise)
            else:
                weight.copy_(1.5 * noise / weight.shape[1] ** 0.5)
    return model
