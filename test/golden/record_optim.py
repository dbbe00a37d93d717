"""Records 20 steps of PyTorch's optimisers, its gradient clipping, and transformers' schedules.

    python record_optim.py
"""

import torch
import transformers
from golden_files import DATA, write_json

STEPS = 20
SHAPES = {"matrix": [3, 4], "vector": [5], "cube": [2, 1, 2]}

OPTIMIZERS = [
    ("adamw", torch.optim.AdamW, {"lr": 1e-2}),
    ("adamw", torch.optim.AdamW, {"lr": 3e-3, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.3}),
    ("rmsprop", torch.optim.RMSprop, {"lr": 1e-2}),
    ("rmsprop", torch.optim.RMSprop, {"lr": 1e-2, "alpha": 0.9, "eps": 1e-5, "momentum": 0.9, "weight_decay": 0.1}),
    ("sgd", torch.optim.SGD, {"lr": 1e-1}),
    ("sgd", torch.optim.SGD, {"lr": 1e-1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}),
    ("sgd", torch.optim.SGD, {"lr": 1e-1, "momentum": 0.9, "nesterov": True}),
]


def flat(tensors):
    return {name: tensor.detach().flatten().tolist() for name, tensor in tensors.items()}


def gradients(generator):
    """One set a step; the vector has none at every fourth step, so that its count of updates falls behind."""
    steps = []
    for step in range(STEPS):
        scale = 10 ** torch.empty(1).uniform_(-3, 1, generator=generator).item()
        values = {name: torch.randn(shape, generator=generator) * scale for name, shape in SHAPES.items()}
        if step % 4 == 0:
            del values["vector"]
        steps.append(values)
    return steps


def run(optimizer_class, options, start, steps):
    parameters = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
    optimizer = optimizer_class(parameters.values(), foreach=True, **options)
    rates = []
    after = []
    for step, values in enumerate(steps):
        for name, parameter in parameters.items():
            parameter.grad = values[name].clone() if name in values else None
        # A schedule changes the rate between steps.
        rates.append(options["lr"] * (1 - step / (2 * STEPS)))
        for group in optimizer.param_groups:
            group["lr"] = rates[-1]
        optimizer.step()
        after.append(flat(parameters))
    return {"learningRates": rates, "after": after}


def clip(steps, max_norm):
    results = []
    for values in steps:
        parameters = [torch.nn.Parameter(torch.zeros_like(value)) for value in values.values()]
        for parameter, value in zip(parameters, values.values()):
            parameter.grad = value.clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        grads = {name: parameter.grad for name, parameter in zip(values, parameters)}
        results.append({"norm": norm.item(), "gradients": flat(grads)})
    return {"maxNorm": max_norm, "steps": results}


def schedule(name, total, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    kind = "constant_with_warmup" if name == "constant" else name
    scheduler = transformers.get_scheduler(kind, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    factors = []
    for _ in range(total):
        factors.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return {"name": name, "totalSteps": total, "warmupSteps": warmup, "factors": factors}


def main():
    generator = torch.Generator().manual_seed(7)
    start = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    steps = gradients(generator)
    write_json(
        DATA / "optim.json",
        {
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
            "shapes": SHAPES,
            "start": flat(start),
            "gradients": [flat(values) for values in steps],
            "runs": [
                {"rule": rule, "options": options, **run(optimizer_class, options, start, steps)}
                for rule, optimizer_class, options in OPTIMIZERS
            ],
            "clip": clip(steps, 1.5),
            "schedules": [
                schedule(name, total, warmup)
                for name in ("constant", "linear", "cosine")
                for total, warmup in ((20, 0), (20, 5), (7, 7), (1, 0))
            ],
        },
    )


if __name__ == "__main__":
    main()
