"""Rollouts with transformers' generate: samples from every step boundary of responses."""

import json

import common


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--samples", type=int, default=8, help="answers from each prefix (default 8)")
    parser.add_argument("--new-tokens", type=int, default=64, help="tokens each answer gets (default 64)")
    parser.add_argument(
        "--how",
        choices=["prefix", "batched"],
        default="prefix",
        help="one prefix and its samples at a time (default), or --batch answers of several prefixes, padded",
    )
    parser.set_defaults(batch=32)
    args = parser.parse_args()
    common.start(args)

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    # Nothing is trained, so bf16 always means bf16 weights, the faster way.
    args.bf16_weights = args.dtype == "bf16"
    dtype = torch.bfloat16 if args.bf16_weights else torch.float32
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
    # generate() takes from the model's own settings what a call leaves at None, its end token too.
    model.generation_config.eos_token_id = None
    pad_id = AutoTokenizer.from_pretrained(args.model).pad_token_id or 0
    with open(args.rows, encoding="utf-8") as file:
        responses = [json.loads(line) for line in file]
    prefixes = [
        row["prompt_ids"] + row["response_ids"][:end] for row in responses for end in row["ends"][:-1]
    ]

    def generate(group, new_tokens):
        width = max(map(len, group))
        ids = torch.tensor([[pad_id] * (width - len(prefix)) + prefix for prefix in group])
        mask = torch.tensor([[0] * (width - len(prefix)) + [1] * len(prefix) for prefix in group])
        # No end token: every answer gets the same number of tokens, so that both sides do the same work.
        settings = GenerationConfig(
            do_sample=True,
            temperature=1.0,
            top_k=0,
            num_return_sequences=args.samples,
            max_new_tokens=new_tokens,
            eos_token_id=None,
            pad_token_id=pad_id,
        )
        return model.generate(ids, attention_mask=mask, generation_config=settings).shape[1] - width

    size = max(1, args.batch // args.samples) if args.how == "batched" else 1
    # In order of length, so that little is padded.
    ordered = sorted(prefixes, key=len)
    groups = [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]
    loaded = common.reset_peak_memory()
    generate(groups[0], 4)
    clock = common.Clock()
    clock.begin()
    tokens = sum(generate(group, args.new_tokens) * len(group) * args.samples for group in groups)
    clock.end()
    common.report(
        args,
        "transformers_generate",
        {
            "how": args.how,
            "seconds": clock.seconds[0],
            "cpu_share": round(clock.cpu_share(args.threads), 3),
            "peak_memory_bytes": common.peak_memory(),
            "loaded_memory_bytes": loaded,
            "prefixes": len(prefixes),
            "samples": args.samples,
            "new_tokens": tokens,
        },
    )


if __name__ == "__main__":
    main()
