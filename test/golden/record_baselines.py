"""Records DPO with one head (plain PyTorch, checked against TRL) and MODPO's loss and gradients (Zhou et al. 2023, eq. 11).

python record_baselines.py        (after record_dpo.py, which writes data/dpo)
"""

import json

import record_dpo
import torch
import torch.nn.functional as F
import transformers
import trl
from golden_files import DATA, write_json
from record_dpo import BETA, GRADIENTS_OF, MODEL, FORMS, record_form, trl_loss
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM

# Weights of three and four objectives, with pairs of each, and a weight vector that has one objective alone.
WEIGHTS = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4], [1.0, 0.0]]
BETAS = [0.1, 0.5]


def modpo(beta, weights, own, logps, gaps):
    """-log sigma((1 / w_k) (beta m - sum over j != k of w_j (r_j(y+) - r_j(y-)))), m as in DPO."""
    chosen, rejected, reference_chosen, reference_rejected = logps
    logits = beta * (chosen - reference_chosen) - beta * (rejected - reference_rejected)
    margin = sum(weight * gap for j, (weight, gap) in enumerate(zip(weights, gaps, strict=True)) if j != own)
    return -F.logsigmoid((logits - margin) / weights[own])


def record_modpo():
    """Losses of pairs drawn at random, and their gradients by autograd in float64."""
    generator = torch.Generator().manual_seed(5)
    rows = []
    for weights in WEIGHTS:
        for own, weight in enumerate(weights):
            for beta in BETAS:
                if weight == 0:
                    continue
                logps = -40 + 12 * torch.randn(4, generator=generator, dtype=torch.float64)
                gaps = 2 * torch.randn(len(weights), generator=generator, dtype=torch.float64)
                policy = logps[:2].clone().requires_grad_()
                loss = modpo(beta, weights, own, [policy[0], policy[1], logps[2], logps[3]], gaps.tolist())
                loss.backward()
                rows.append(
                    {
                        "beta": beta, "weights": weights, "own": own, "logps": logps.tolist(), "gaps": gaps.tolist(),
                        "loss": loss.item(), "gradients": policy.grad.tolist(),
                    }
                )  # fmt: skip
    return rows


def record_single_head():
    """DPO of one head on the pairs of both objectives: TRL's loss, and PyTorch's gradients of the same loss."""
    recorded = json.loads((DATA / "dpo" / "golden.json").read_text())
    keys = ("objective", "prompt", "chosen", "rejected")
    rows = [{**{key: pair[key] for key in keys}, "objective": "all"} for pair in recorded["pairs"]]
    model = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    head = load_file(DATA / "dpo" / "heads.safetensors")["heads.accuracy.weight"].requires_grad_()
    record_dpo.OBJECTIVES = ["all"]
    _, losses, _, total, gradients = record_form(model, {"all": head}, rows, FORMS["sigmoid"], GRADIENTS_OF)
    theirs = trl_loss(model, head.detach(), tokenizer, rows, "sigmoid")
    if abs(theirs - total.item()) > 1e-5:
        raise ValueError(f"TRL has {theirs}, plain PyTorch {total.item()}")
    gradients["lm_head.weight"] = gradients.pop("heads.all.weight")
    save_file(gradients, DATA / "dpo" / "single-head.safetensors")
    return {"beta": BETA, "loss": total.item(), "trl_loss": theirs, "pair_losses": [loss.item() for loss in losses]}


def main():
    transformers.logging.set_verbosity_error()
    golden = {
        "torch": torch.__version__.split("+")[0],
        "trl": trl.__version__,
        "modpo": record_modpo(),
        "single_head": record_single_head(),
    }
    write_json(DATA / "dpo" / "baselines.json", golden)


if __name__ == "__main__":
    main()
