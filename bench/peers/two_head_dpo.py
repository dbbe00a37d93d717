"""A multi-head DPO trainer built the plain way, as the method's public reference works.

Every head reads every token of every example; a frozen reference model with its own heads stays in memory and
runs at each step; chosen and rejected responses go through in separate padded passes, each with its prompt.
"""

import torch
import torch.nn.functional as F
from torch import nn

import common


class MultiHeadModel(nn.Module):
    """A backbone and one output head an objective, each a copy of the base model's head plus noise."""

    def __init__(self, base, objectives, noise):
        super().__init__()
        self.backbone = base.model
        self.heads = nn.ModuleDict()
        source = base.lm_head.weight
        for seed, name in enumerate(objectives):
            head = nn.Linear(source.shape[1], source.shape[0], bias=False, dtype=source.dtype)
            generator = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                head.weight.copy_(source)
                if noise > 0:
                    head.weight.add_(noise * torch.randn(source.shape, generator=generator))
            self.heads[name] = head

    def forward(self, ids, mask):
        """Logits of every head over every token: {objective: [batch, tokens, vocabulary]}."""
        hidden = self.backbone(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return {name: head(hidden) for name, head in self.heads.items()}


def pad(rows, side, pad_id):
    """Prompt and one response of each row, padded on the right: ids, attention mask, response mask."""
    sequences = [row["prompt_ids"] + row[side] for row in rows]
    width = max(map(len, sequences))
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    response = torch.zeros(len(rows), width, dtype=torch.bool)
    for index, (row, sequence) in enumerate(zip(rows, sequences, strict=True)):
        ids[index, : len(sequence)] = torch.tensor(sequence)
        mask[index, : len(sequence)] = 1
        response[index, len(row["prompt_ids"]) : len(sequence)] = True
    return ids, mask, response


def response_logps(model, rows, side, pad_id):
    """Summed log-probability of each row's response under the head of its own objective."""
    ids, mask, response = pad(rows, side, pad_id)
    logits = model(ids, mask)
    result = [None] * len(rows)
    for name, values in logits.items():
        own = [index for index, row in enumerate(rows) if row["objective"] == name]
        if not own:
            continue
        logps = F.log_softmax(values[own, :-1].float(), dim=-1)
        token_logps = logps.gather(2, ids[own, 1:, None]).squeeze(2)
        for place, total in zip(own, (token_logps * response[own, 1:]).sum(dim=1), strict=True):
            result[place] = total
    return torch.stack(result)


def batch_loss(policy, reference, rows, args, pad_id, shares):
    """Sum over objectives of `shares[objective]` times the summed sigmoid loss of its rows."""
    chosen = response_logps(policy, rows, "chosen_ids", pad_id)
    rejected = response_logps(policy, rows, "rejected_ids", pad_id)
    with torch.no_grad():
        reference_chosen = response_logps(reference, rows, "chosen_ids", pad_id)
        reference_rejected = response_logps(reference, rows, "rejected_ids", pad_id)
    margins = (chosen - rejected) - (reference_chosen - reference_rejected)
    weights = torch.tensor([shares[row["objective"]] for row in rows])
    return (weights * -F.logsigmoid(args.beta * margins)).sum()


def loss_shares(rows):
    """Weight of one pair so that the batch's loss is the mean over objectives of their mean losses."""
    names = [row["objective"] for row in rows]
    return {name: 1 / (len(set(names)) * names.count(name)) for name in names}


def main():
    parser = common.training_parser(__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=2, help="heads, where the rows name fewer objectives (default 2)")
    parser.add_argument("--noise", type=float, default=0.001, help="standard deviation of the heads' noise")
    parser.set_defaults(order="given")
    args = parser.parse_args()
    common.check_training(args)
    common.start(args)

    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    timed_rows = common.read_rows(args, tokenizer, args.pairs)
    rows = common.order_rows(args, timed_rows)
    objectives = sorted({row["objective"] for row in rows})
    objectives += [f"unused{index}" for index in range(args.heads - len(objectives))]
    pure = args.dtype == "bf16" and args.bf16_weights
    dtype = torch.bfloat16 if pure else torch.float32

    def build(noise):
        return MultiHeadModel(AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype), objectives, noise)

    policy, reference = build(args.noise).train(), build(0.0).eval().requires_grad_(False)
    optimizer = torch.optim.RMSprop(policy.parameters(), lr=args.learning_rate)
    pad_id = tokenizer.pad_token_id or 0
    loaded = common.reset_peak_memory()
    clock, losses = common.Clock(), []
    for at in range(0, len(rows), args.batch):
        clock.begin()
        batch = rows[at : at + args.batch]
        shares = loss_shares(batch)
        total = 0.0
        for part in range(0, args.batch, args.micro_batch):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16" and not pure):
                loss = batch_loss(policy, reference, batch[part : part + args.micro_batch], args, pad_id, shares)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.end()
        losses.append(total)
    result = common.training_result(
        args,
        timed_rows,
        clock,
        peak_memory_bytes=common.peak_memory(),
        loaded_memory_bytes=loaded,
        loss=sum(losses[args.warmup_steps :]) / (len(losses) - args.warmup_steps),
        heads=len(objectives),
        optimizer="rmsprop",
    )
    common.report(args, "two_head_dpo", result)


if __name__ == "__main__":
    main()
