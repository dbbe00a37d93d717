"""Opens a model folder with transformers, runs given token ids, and writes what came out as JSON.

    python check_export.py --model DIR --ids 1,2,3 --out FILE [--text TEXT] [--new-tokens N]

The file holds `logits` (one row of float32 values for each id), `greedy` (N new ids), the tokenizer's class,
and, with --text, its ids. A folder that transformers cannot load, or loads with weights missing or left over,
ends with status 1 and the reason on stderr.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(folder, allow_extra):
    """The folder's model in float32; weights that are missing, misshapen or (unless allowed) left over are errors."""
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
    )
    wrong = {kind: sorted(map(str, names)) for kind, names in report.items() if names}
    if allow_extra:
        wrong.pop("unexpected_keys", None)
    if wrong:
        raise ValueError(f"{folder}: transformers reports {wrong}")
    return model.eval(), sorted(map(str, report["unexpected_keys"]))


def with_adapter(model, folder):
    """The model under a PEFT adapter; tensors of the adapter that go nowhere, or are missing, are errors."""
    import peft

    adapted = peft.PeftModel.from_pretrained(model, folder)
    ours = set(peft.utils.load_peft_weights(folder))
    theirs = set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if ours != theirs:
        raise ValueError(f"{folder}: only in the folder {sorted(ours - theirs)[:4]}, only in peft {sorted(theirs - ours)[:4]}")
    return adapted.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder with config.json, weights and tokenizer")
    parser.add_argument("--ids", required=True, help="token ids, separated by commas")
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--adapter", help="folder of a PEFT adapter to load onto the model")
    parser.add_argument("--text", help="a text for the folder's tokenizer")
    parser.add_argument("--new-tokens", type=int, default=0, help="greedy tokens to add (default 0)")
    parser.add_argument(
        "--allow-extra", action="store_true", help="accept weights that transformers does not use (multi-head folders)"
    )
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    ids = [int(part) for part in args.ids.split(",")]
    tokenizer = AutoTokenizer.from_pretrained(args.model, local_files_only=True)
    model, extra = load(args.model, args.allow_extra)
    if args.adapter is not None:
        model = with_adapter(model, args.adapter)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    greedy = []
    if args.new_tokens > 0:
        settings = transformers.GenerationConfig(
            do_sample=False, max_new_tokens=args.new_tokens, eos_token_id=None, pad_token_id=0
        )
        mask = torch.ones(1, len(ids), dtype=torch.long)
        full = model.generate(torch.tensor([ids]), attention_mask=mask, generation_config=settings)
        greedy = full[0, len(ids) :].tolist()
    result = {
        "architecture": type(getattr(model, "base_model", model)).__name__,
        "tokenizer": type(tokenizer).__name__,
        "vocab_size": model.config.vocab_size,
        "extra_weights": extra,
        "ids": ids,
        "logits": logits.tolist(),
        "greedy": greedy,
    }
    if args.text is not None:
        result["text_ids"] = tokenizer(args.text, add_special_tokens=False)["input_ids"]
        result["decoded"] = tokenizer.decode(result["text_ids"])
    if tokenizer.chat_template is not None:
        messages = [{"role": "user", "content": args.text or "Hello."}]
        result["chat"] = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    out = Path(args.out)
    temporary = out.with_name(f"{out.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")
    temporary.replace(out)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(str(error))
