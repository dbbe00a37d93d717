"""Records losses and gradients of reward heads on tiny-llama in plain PyTorch, one batch of four objectives.

python record_rewards.py        (after record_models.py, which writes data/models/tiny-llama)
"""

import torch
import torch.nn.functional as F
import transformers
from golden_files import DATA, write_json
from safetensors.torch import save_file
from torch import nn
from transformers import AutoTokenizer, LlamaModel

MODEL = DATA / "models" / "tiny-llama"
# A head of each kind, in the order of their seeds.
KINDS = {"accuracy": "value", "clarity": "soft", "engagement": "hard", "helpful": "bradley-terry"}

# Steps of a response with their labels; None is a step without one. Shares and lengths are unequal on purpose.
STEPS = [
    ("accuracy", "What is 12 + 3?\n", [("12 + 3 is 15.\n\n", 1.9), ("So it is 16.\n\n", 0.3), ("15", 1.0)]),
    ("accuracy", "Half of 8?\n", [("The answer is 3, for 8 / 2 = 3.", 0.0)]),
    ("clarity", "Why is the rain wet?\n", [("It is water.\n\n", 0.7), ("It is.\n\n", None), ("It is wet.", 0.25)]),
    ("engagement", "Ann has 7 hens, 2 run away.\n", [("What is left?\n\n", 1), ("7 - 2 = 5", 0)]),
    ("engagement", "Half of 9?\n", [("Can you add the halves?", 1)]),
]
PAIRS = [
    ("helpful", "What is 12 + 3?\n", "Add the units first: 2 + 3.", "15."),
    ("helpful", "Why is the rain wet?\n", "It is water.", "What happens to a stone in the rain?"),
]


def make_head(kind, hidden, seed):
    """A head with weights well above rounding; bias too, so that its gradient is seen."""
    torch.manual_seed(seed)
    if kind == "value":
        return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
    return nn.Linear(hidden, 2 if kind == "hard" else 1, bias=kind != "bradley-terry")


def our_names(name, kind, head):
    """The head's parameters under mahalo's names."""
    layers = {"hidden": head[0], "out": head[2]} if kind == "value" else {None: head}
    for layer, linear in layers.items():
        for part, weight in linear.named_parameters():
            yield ".".join(["rewards", name, *([layer] if layer else []), part]), weight


def last_hidden(backbone, ids):
    """Hidden state behind the last token of one unpadded sequence."""
    return backbone(torch.tensor([ids])).last_hidden_state[0, -1]


def step_loss(kind, output, label):
    """Loss of one labelled step."""
    if kind == "value":
        return F.mse_loss(output, torch.tensor([float(label)]))
    if kind == "soft":
        return F.binary_cross_entropy_with_logits(output, torch.tensor([float(label)]))
    return F.cross_entropy(output[None], torch.tensor([int(label)]))


def main():
    transformers.logging.set_verbosity_error()
    backbone = LlamaModel.from_pretrained(MODEL, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    hidden = backbone.config.hidden_size
    heads = {name: make_head(kind, hidden, 200 + index) for index, (name, kind) in enumerate(KINDS.items())}
    named = {key: w for name, kind in KINDS.items() for key, w in our_names(name, kind, heads[name])}

    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    losses = {name: [] for name in KINDS}
    rows = []
    for objective, prompt, steps in STEPS:
        prompt_ids, response, ends, outputs = encode(prompt), [], [], []
        for text, label in steps:
            response = response + encode(text)
            ends.append(len(response))
            # Each prefix in a pass of its own.
            output = heads[objective](last_hidden(backbone, prompt_ids + response))
            outputs.append(output.tolist())
            if label is not None:
                losses[objective].append(step_loss(KINDS[objective], output, label))
        labels = [label for _, label in steps]
        rows.append(
            {"objective": objective, "prompt": prompt_ids, "response": response, "ends": ends, "labels": labels,
             "outputs": outputs}
        )  # fmt: skip
    for objective, prompt, *texts in PAIRS:
        prompt_ids = encode(prompt)
        responses = [encode(text) + [tokenizer.eos_token_id] for text in texts]
        chosen, rejected = (heads[objective](last_hidden(backbone, prompt_ids + one)) for one in responses)
        losses[objective].append(-F.logsigmoid(chosen - rejected)[0])
        rows.append(
            {"objective": objective, "prompt": prompt_ids, "chosen": responses[0], "rejected": responses[1],
             "outputs": [chosen.tolist(), rejected.tolist()]}
        )  # fmt: skip
    means = {name: torch.stack(own).mean() for name, own in losses.items()}
    total = torch.stack(list(means.values())).mean()
    total.backward()

    folder = DATA / "rewards"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: weight.detach() for key, weight in named.items()}, folder / "heads.safetensors")
    gradients = {key: weight.grad for key, weight in named.items()}
    gradients.update({f"model.{key}": weight.grad for key, weight in backbone.named_parameters()})
    save_file(gradients, folder / "gradients.safetensors")
    write_json(
        folder / "golden.json",
        {
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
            "model": "models/tiny-llama",
            "kinds": KINDS,
            "rows": rows,
            "objective_losses": {name: mean.item() for name, mean in means.items()},
            "loss": total.item(),
        },
    )
    print(f"loss {total.item():.6f}")


if __name__ == "__main__":
    main()
