"""Records MAH-DPO losses and gradients on tiny-llama with two heads, in plain PyTorch and, where it can, TRL.

python record_dpo.py        (after record_models.py, which writes data/models/tiny-llama)
"""

import tempfile

import torch
import torch.nn.functional as F
import transformers
import trl
from datasets import Dataset
from golden_files import DATA, write_json
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaForCausalLM

MODEL = DATA / "models" / "tiny-llama"
BETA = 0.1
SMOOTHING = 0.1
OBJECTIVES = ["accuracy", "engagement"]
# Far more than the method's 0.001, so that margins and both heads' gradients differ well above rounding.
HEAD_NOISE = 0.05

# Unequal shares (three pairs of one objective, two of the other) and unequal lengths, on purpose.
ROWS = [
    ("accuracy", "What is 12 + 3?\n", "12 + 3 is 15.", "12 + 3 is 16."),
    ("engagement", "What is 12 + 3?\n", "Can you add the units on your own first?", "15."),
    ("accuracy", "Ann has 7 hens, 2 run away.\n", "7 - 2 = 5\n\n5", "9"),
    ("engagement", "Why is the rain wet?\n", "What happens to a stone in the rain?", "It is water. It is wet."),
    ("accuracy", "Half of 8?\n", "4", "The answer is 3, for 8 / 2 = 3."),
]

# The form that every gradient is recorded of.
WHOLE_FORM = "sigmoid"
# Gradients of the other forms, beside the heads'.
GRADIENTS_OF = [
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.1.self_attn.v_proj.weight",
    "model.layers.1.mlp.down_proj.weight",
    "model.norm.weight",
]


def sigmoid(margin, smoothing=0.0):
    """-(1 - s) log sigma(beta m) - s log sigma(-beta m)."""
    return -(1 - smoothing) * F.logsigmoid(BETA * margin) - smoothing * F.logsigmoid(-BETA * margin)


def ipo(margin):
    """(m - 1 / (2 beta))^2, with log-probabilities summed over the response."""
    return (margin - 1 / (2 * BETA)) ** 2


def policy_margin(row):
    """Log-probability of chosen minus rejected, without a reference."""
    return row["chosen_logp"] - row["rejected_logp"]


def margin(row):
    """The same minus the reference's."""
    return policy_margin(row) - (row["reference_chosen_logp"] - row["reference_rejected_logp"])


def per_token_margin(row):
    """The margin of mean log-probabilities a token, which TRL's IPO uses."""
    chosen = (row["chosen_logp"] - row["reference_chosen_logp"]) / len(row["chosen"])
    rejected = (row["rejected_logp"] - row["reference_rejected_logp"]) / len(row["rejected"])
    return chosen - rejected


FORMS = {
    "sigmoid": lambda row: sigmoid(margin(row)),
    "sigmoid_smoothed": lambda row: sigmoid(margin(row), SMOOTHING),
    "ipo": lambda row: ipo(margin(row)),
    "ipo_per_token": lambda row: ipo(per_token_margin(row)),
    "sigmoid_reference_free": lambda row: sigmoid(policy_margin(row)),
}


def sequence_logp(backbone, head, prompt, response):
    """Sum over response tokens of log softmax(W h), for one unpadded sequence."""
    hidden = backbone(torch.tensor([prompt + response])).last_hidden_state[0]
    before = hidden[len(prompt) - 1 : len(prompt) + len(response) - 1]
    logps = F.log_softmax(before @ head.T, dim=-1)
    return logps.gather(1, torch.tensor(response)[:, None]).sum()


def score(model, heads, rows):
    """Every row with the log-probabilities of its own head and of the reference (the model's own output head)."""
    reference = model.lm_head.weight.detach()
    scored = []
    for row in rows:
        prompt, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
        head = heads[row["objective"]]
        with torch.no_grad():
            reference_chosen = sequence_logp(model.model, reference, prompt, chosen)
            reference_rejected = sequence_logp(model.model, reference, prompt, rejected)
        scored.append(
            {
                **row,
                "chosen_logp": sequence_logp(model.model, head, prompt, chosen),
                "rejected_logp": sequence_logp(model.model, head, prompt, rejected),
                "reference_chosen_logp": reference_chosen,
                "reference_rejected_logp": reference_rejected,
            }
        )
    return scored


def record_form(model, heads, rows, form, names):
    """Losses of one form and the gradients, of the heads and the named weights, of their mean over objectives."""
    for weight in [*model.parameters(), *heads.values()]:
        weight.grad = None
    scored = score(model, heads, rows)
    losses = [form(row) for row in scored]
    means = {
        name: torch.stack([loss for loss, row in zip(losses, scored, strict=True) if row["objective"] == name]).mean()
        for name in OBJECTIVES
    }
    total = torch.stack(list(means.values())).mean()
    total.backward()
    weights = dict(model.named_parameters())
    gradients = {f"heads.{name}.weight": head.grad for name, head in heads.items()}
    gradients.update({name: weights[name].grad for name in names})
    return scored, losses, means, total, {key: value.clone() for key, value in gradients.items()}


def trl_loss(model, head, tokenizer, rows, loss_type):
    """TRL's loss for one objective's rows: its trainer on a copy of the model that has the objective's head."""
    policy = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    with torch.no_grad():
        policy.lm_head.weight.copy_(head)

    class GivenTokens(trl.DPOTrainer):
        """Takes the rows' token ids as they are."""

        def _prepare_dataset(self, dataset, processing_class, args, dataset_name):
            return dataset

    columns = ("prompt", "chosen", "rejected")
    data = Dataset.from_list([{f"{name}_ids": row[name] for name in columns} for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        trainer = GivenTokens(
            model=policy,
            ref_model=LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32),
            args=trl.DPOConfig(
                output_dir=folder, beta=BETA, loss_type=[loss_type], use_cpu=True, bf16=False, report_to=[],
                gradient_checkpointing=False, per_device_train_batch_size=len(rows),
            ),
            train_dataset=data,
            processing_class=tokenizer,
        )  # fmt: skip
        batch = trainer.data_collator([dict(row) for row in data])
        trainer.model.eval()
        with torch.no_grad():
            return float(trainer.compute_loss(trainer.model, batch))


def main():
    transformers.logging.set_verbosity_error()
    model = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    rows = []
    for objective, *texts in ROWS:
        prompt, chosen, rejected = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
        end = [tokenizer.eos_token_id]
        rows.append({"objective": objective, "prompt": prompt, "chosen": chosen + end, "rejected": rejected + end})
    heads = {}
    for index, name in enumerate(OBJECTIVES):
        generator = torch.Generator().manual_seed(100 + index)
        base = model.lm_head.weight.detach()
        heads[name] = (base + HEAD_NOISE * torch.randn(base.shape, generator=generator)).requires_grad_()

    folder = DATA / "dpo"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({f"heads.{name}.weight": head.detach() for name, head in heads.items()}, folder / "heads.safetensors")
    forms, tensors, scored = {}, {}, []
    # The model's own output head is the reference's alone.
    backbone = [name for name, _ in model.named_parameters() if name != "lm_head.weight"]
    for name, form in FORMS.items():
        names = backbone if name == WHOLE_FORM else GRADIENTS_OF
        scored, losses, means, total, gradients = record_form(model, heads, rows, form, names)
        forms[name] = {
            "pair_losses": [loss.item() for loss in losses],
            "objective_losses": {key: value.item() for key, value in means.items()},
            "loss": total.item(),
        }
        tensors.update({f"{name}.{key}": value for key, value in gradients.items()})
        print(f"{name}: {total.item():.6f}")
    save_file(tensors, folder / "gradients.safetensors")

    checks = {}
    for loss_type, ours in (("sigmoid", "sigmoid"), ("ipo", "ipo_per_token")):
        checks[ours] = {}
        for name in OBJECTIVES:
            own = [row for row in rows if row["objective"] == name]
            theirs = trl_loss(model, heads[name].detach(), tokenizer, own, loss_type)
            plain = forms[ours]["objective_losses"][name]
            if abs(theirs - plain) > 1e-5 * max(1, abs(plain)):
                raise ValueError(f"{ours}, {name}: TRL has {theirs}, plain PyTorch {plain}")
            checks[ours][name] = theirs
    print(f"TRL agrees: {checks}")
    write_json(
        folder / "golden.json",
        {
            "torch": torch.__version__.split("+")[0],
            "trl": trl.__version__,
            "model": "models/tiny-llama",
            "beta": BETA,
            "smoothing": SMOOTHING,
            "objectives": OBJECTIVES,
            "pairs": [
                {key: value.item() if torch.is_tensor(value) else value for key, value in row.items()} for row in scored
            ],
            "forms": forms,
            "trl_objective_losses": checks,
            "gradients": sorted(gradients),
        },
    )


if __name__ == "__main__":
    main()
