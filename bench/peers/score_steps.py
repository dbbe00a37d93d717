"""Scores of response steps with transformers: prefix by prefix, padded batches of prefixes, or one pass a response."""

import json

import common


def main():
    parser = common.parser(__doc__)
    parser.add_argument(
        "--how",
        choices=["prefixes", "padded", "one-pass"],
        default="prefixes",
        help="each prefix alone (default), --batch of them padded to one length, or all steps of a response at once",
    )
    parser.set_defaults(batch=8)
    args = parser.parse_args()
    common.start(args)

    import torch
    from transformers import AutoModelForTokenClassification

    # Nothing is trained, so bf16 always means bf16 weights, the faster way.
    args.bf16_weights = args.dtype == "bf16"
    dtype = torch.bfloat16 if args.bf16_weights else torch.float32
    model = AutoModelForTokenClassification.from_pretrained(args.model, dtype=dtype).eval()
    with open(args.rows, encoding="utf-8") as file:
        responses = [json.loads(line) for line in file]

    def prefixes(rows):
        return [row["prompt_ids"] + row["response_ids"][:end] for row in rows for end in row["ends"]]

    def logits(group, offsets):
        """Logits of padded rows at the offsets of each row."""
        width = max(map(len, group))
        ids = torch.tensor([ids + [0] * (width - len(ids)) for ids in group])
        # What is padded on the right is never seen by what stands before it.
        mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in group])
        out = model(input_ids=ids, attention_mask=mask if len(group) > 1 else None).logits
        return [out[row, at, 0].float() for row, own in enumerate(offsets) for at in own]

    def score(rows):
        if args.how == "one-pass":
            found = []
            for row in rows:
                start = len(row["prompt_ids"])
                ids = row["prompt_ids"] + row["response_ids"]
                found += logits([ids], [[start + end - 1 for end in row["ends"]]])
            return torch.stack(found).sigmoid().tolist()
        texts = prefixes(rows)
        size = args.batch if args.how == "padded" else 1
        # In order of length, so that little is padded.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at])) if size > 1 else range(len(texts))
        order = list(order)
        scores = [0.0] * len(texts)
        for begin in range(0, len(order), size):
            members = order[begin : begin + size]
            group = [texts[at] for at in members]
            values = torch.stack(logits(group, [[len(ids) - 1] for ids in group])).sigmoid().tolist()
            for at, value in zip(members, values, strict=True):
                scores[at] = value
        return scores

    loaded = common.reset_peak_memory()
    with torch.inference_mode():
        score(responses[:2])
        clock = common.Clock()
        clock.begin()
        scores = score(responses)
        clock.end()
    common.report(
        args,
        "transformers_token_classification",
        {
            "how": args.how,
            "seconds": clock.seconds[0],
            "cpu_share": round(clock.cpu_share(args.threads), 3),
            "peak_memory_bytes": common.peak_memory(),
            "loaded_memory_bytes": loaded,
            "responses": len(responses),
            "scores": scores,
        },
    )


if __name__ == "__main__":
    main()
