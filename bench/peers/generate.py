"""Greedy generation with transformers: tokens a second for one stream and for a batch."""

import common


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--new-tokens", type=int, default=128, help="tokens each prompt gets (default 128)")
    parser.add_argument(
        "--cache", choices=["dynamic", "static"], default="dynamic", help="transformers' key-value cache"
    )
    parser.add_argument("--only-batched", action="store_true", help="leave out each prompt alone")
    parser.set_defaults(pairs=4)
    args = parser.parse_args()
    common.start(args)

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    # Nothing is trained, so bf16 always means bf16 weights, the faster way.
    args.bf16_weights = args.dtype == "bf16"
    dtype = torch.bfloat16 if args.bf16_weights else torch.float32
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
    # `generate` fills what a given configuration leaves empty from the model's own, end tokens included.
    model.generation_config.eos_token_id = None
    prompts = [row["prompt_ids"] for row in common.read_rows(args, tokenizer, args.pairs)]
    pad_id = tokenizer.pad_token_id or 0

    def generate(group, new_tokens):
        width = max(map(len, group))
        ids = torch.tensor([[pad_id] * (width - len(prompt)) + prompt for prompt in group])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in group])
        # No end token: every prompt gets the same number of tokens, so that both sides do the same work.
        settings = GenerationConfig(
            do_sample=False,
            max_new_tokens=new_tokens,
            eos_token_id=None,
            pad_token_id=pad_id,
            cache_implementation=None if args.cache == "dynamic" else args.cache,
        )
        clock = common.Clock()
        clock.begin()
        out = model.generate(ids, attention_mask=mask, generation_config=settings)
        clock.end()
        return clock, out[:, width:].tolist()

    def measure(size):
        groups = [prompts[at : at + size] for at in range(0, len(prompts), size)]
        generate(groups[0], 8)
        prefill = sum(generate(group, 1)[0].seconds[0] for group in groups)
        timed = [generate(group, args.new_tokens) for group in groups]
        seconds = sum(clock.seconds[0] for clock, _ in timed)
        cpu_seconds = sum(clock.cpu_seconds[0] for clock, _ in timed)
        tokens = sum(len(row) for _, rows in timed for row in rows)
        if tokens != len(prompts) * args.new_tokens:
            raise RuntimeError(f"generated {tokens} tokens instead of {len(prompts) * args.new_tokens}")
        return {
            "batch": size,
            "tokens": tokens,
            "seconds": seconds,
            "tokens_per_second": tokens / seconds,
            # The first token comes out of the prompt's pass; the others are decoding proper.
            "decode_tokens_per_second": (tokens - len(prompts)) / (seconds - prefill),
            "prompt_seconds": prefill,
            "cpu_share": round(cpu_seconds / (args.threads * seconds), 3),
        }, timed[0][1][0]

    loaded = common.reset_peak_memory()
    result = {"new_tokens": args.new_tokens, "prompts": len(prompts), "cache": args.cache}
    first = None
    if not args.only_batched:
        result["single"], first = measure(1)
    if args.batch > 1 or args.only_batched:
        result["batched"], beside = measure(min(args.batch, len(prompts)))
        first = first or beside
    result["peak_memory_bytes"] = common.peak_memory()
    result["loaded_memory_bytes"] = loaded
    result["prompt_tokens"] = sum(map(len, prompts)) / len(prompts)
    result["first_ids"] = first
    common.report(args, "transformers_generate", result)


if __name__ == "__main__":
    main()
