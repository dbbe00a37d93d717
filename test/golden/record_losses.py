"""Records losses that TRL defines itself on record_dpo.py's pairs: per-token IPO and SimPO, losses, rewards and gradients.

python record_losses.py        (after record_dpo.py, which writes data/dpo)
"""

import json
import tempfile

import torch
import transformers
import trl
from datasets import Dataset
from golden_files import DATA, write_json
from record_dpo import GRADIENTS_OF, MODEL, OBJECTIVES
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM
from trl.experimental.cpo import CPOConfig, CPOTrainer

FOLDER = DATA / "dpo"
SIDES = ("chosen", "rejected")
REWARDS = ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies")
# By our name: the trainer, its options, and ours.
LOSSES = {
    "ipo-norm": ("dpo", {"loss_type": ["ipo"], "beta": 0.1}, {"beta": 0.1}),
    "simpo": ("cpo", {"loss_type": "simpo", "cpo_alpha": 0.0, "beta": 2.0, "simpo_gamma": 0.5}, {"beta": 2, "gamma": 0.5}),
}  # fmt: skip


class GivenTokensDpo(trl.DPOTrainer):
    """Takes the rows' token ids as they are."""

    def _prepare_dataset(self, dataset, processing_class, args, dataset_name):
        return dataset


class GivenTokensCpo(CPOTrainer):
    """Takes the rows' token ids as they are."""

    def tokenize_row(self, feature, model=None):
        row = {}
        for side in SIDES:
            prompt, response = feature["prompt_ids"], feature[f"{side}_ids"]
            row[f"{side}_input_ids"] = prompt + response
            row[f"{side}_attention_mask"] = [1] * len(prompt + response)
            row[f"{side}_labels"] = [-100] * len(prompt) + response
        return row


def trl_step(kind, options, head, tokenizer, rows):
    """TRL's loss for one objective's rows, its metrics of their rewards, and the gradients, the head's as lm_head."""
    policy = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    with torch.no_grad():
        policy.lm_head.weight.copy_(head)
    ids = [{f"{name}_ids": row[name] for name in ("prompt", *SIDES)} for row in rows]
    # What SimPO's trainer would tokenize, were it not given tokens.
    texts = {"prompt": "a", "chosen": "b", "rejected": "c"} if kind == "cpo" else {}
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "output_dir": folder, "use_cpu": True, "bf16": False, "report_to": [], "gradient_checkpointing": False,
            "per_device_train_batch_size": len(rows),
        }  # fmt: skip
        config, trainer_class = (CPOConfig, GivenTokensCpo) if kind == "cpo" else (trl.DPOConfig, GivenTokensDpo)
        reference = {"ref_model": LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32)} if kind == "dpo" else {}
        trainer = trainer_class(
            model=policy,
            args=config(**common, **options),
            train_dataset=Dataset.from_list([{**texts, **row} for row in ids]),
            processing_class=tokenizer,
            **reference,
        )
        batch = trainer.data_collator([dict(row) for row in trainer.train_dataset])
        trainer.model.eval()
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
    metrics = trainer._stored_metrics["train"] if kind == "cpo" else trainer._metrics["eval"]
    gradients = {name: weight.grad for name, weight in policy.named_parameters()}
    return loss.item(), {name: metrics[name][0] for name in REWARDS}, gradients


def record(kind, options, heads, tokenizer, rows):
    """A form's numbers by objective, and the gradients of the mean over objectives."""
    losses, rewards, gradients = {}, {}, {}
    for name in OBJECTIVES:
        own = [row for row in rows if row["objective"] == name]
        losses[name], rewards[name], grads = trl_step(kind, options, heads[f"heads.{name}.weight"], tokenizer, own)
        gradients[f"heads.{name}.weight"] = grads["lm_head.weight"] / len(OBJECTIVES)
        for weight in GRADIENTS_OF:
            gradients[weight] = gradients.get(weight, 0) + grads[weight] / len(OBJECTIVES)
    return losses, rewards, gradients


def main():
    transformers.logging.set_verbosity_error()
    rows = json.loads((FOLDER / "golden.json").read_text())["pairs"]
    heads = load_file(FOLDER / "heads.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    forms, tensors = {}, {}
    for name, (kind, options, ours) in LOSSES.items():
        losses, rewards, gradients = record(kind, options, heads, tokenizer, rows)
        loss = sum(losses.values()) / len(losses)
        forms[name] = {"options": ours, "loss": loss, "objective_losses": losses, "objective_rewards": rewards}
        tensors.update({f"{name}.{key}": value for key, value in gradients.items()})
        print(f"{name}: {loss:.6f}")
    save_file(tensors, FOLDER / "trl-gradients.safetensors")
    write_json(FOLDER / "trl.json", {"torch": torch.__version__.split("+")[0], "trl": trl.__version__, "forms": forms})


if __name__ == "__main__":
    main()
