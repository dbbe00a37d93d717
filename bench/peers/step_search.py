"""Step search with transformers: candidates by generate(num_return_sequences), each scored by a reward model on the whole text."""

import json

import common


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--reward", required=True, help="folder of the reward model, read at the last token")
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--step-tokens", type=int, default=48, help="longest step (default 48)")
    parser.set_defaults(pairs=4)
    args = parser.parse_args()
    common.start(args)

    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForTokenClassification,
        AutoTokenizer,
        GenerationConfig,
        StoppingCriteria,
    )

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    args.bf16_weights = args.dtype == "bf16"
    dtype = torch.bfloat16 if args.bf16_weights else torch.float32
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
    # The configuration of a folder may name an end token; here answers have none.
    model.generation_config.eos_token_id = None
    reward = AutoModelForTokenClassification.from_pretrained(args.reward, dtype=dtype).eval()
    prompts = [row["prompt_ids"] for row in common.read_rows(args, tokenizer, args.pairs)]
    pad_id = tokenizer.pad_token_id or 0
    texts = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    newline = torch.tensor(["\n" in text for text in texts])
    blank = torch.tensor([text.strip() == "" for text in texts])

    class LineEnd(StoppingCriteria):
        """A row stops behind the first line break that has something before it."""

        def __init__(self, start):
            self.start = start

        def __call__(self, input_ids, scores, **kwargs):
            new = input_ids[:, self.start :]
            said = (~blank[new]).cumsum(1) > 0
            return (newline[new] & said).any(1)

    settings = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_return_sequences=args.candidates,
        max_new_tokens=args.step_tokens,
        eos_token_id=None,
        pad_token_id=pad_id,
    )

    def length_of(row):
        """Tokens of a step: those up to its line break; behind it the batch is padded."""
        said = (~blank[row]).cumsum(0) > 0
        ends = (newline[row] & said).nonzero()
        return int(ends[0]) + 1 if len(ends) else len(row)

    @torch.no_grad()
    def search(prompt, steps):
        ids, made = list(prompt), 0
        for _ in range(steps):
            given = torch.tensor([ids])
            out = model.generate(
                given,
                attention_mask=torch.ones_like(given),
                generation_config=settings,
                stopping_criteria=[LineEnd(len(ids))],
            )
            rows = [row[: length_of(row)].tolist() for row in out[:, len(ids) :]]
            made += sum(map(len, rows))
            width = max(map(len, rows))
            # What is padded on the right is never seen by what stands before it.
            whole = torch.tensor([ids + row + [pad_id] * (width - len(row)) for row in rows])
            mask = torch.tensor([[1] * (len(ids) + len(row)) + [0] * (width - len(row)) for row in rows])
            logits = reward(input_ids=whole, attention_mask=mask).logits
            scores = [float(logits[at, len(ids) + len(row) - 1, 0]) for at, row in enumerate(rows)]
            ids += rows[max(range(len(rows)), key=scores.__getitem__)]
        return ids[len(prompt) :], made

    search(prompts[0], 1)
    torch.manual_seed(0)
    clock = common.Clock()
    clock.begin()
    found = [search(prompt, args.steps) for prompt in prompts]
    clock.end()
    result = {
        "tokens": sum(made for _, made in found),
        "seconds": clock.seconds[0],
        "prompt_seconds": 0,
        "prompts": len(prompts),
        "prompt_tokens": sum(map(len, prompts)),
        "cpu_share": clock.cpu_share(args.threads),
        "first_ids": found[0][0],
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
