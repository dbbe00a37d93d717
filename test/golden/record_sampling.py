"""Records what transformers' filters leave of logits: which tokens, with which probabilities, for settings at their edges."""

import math

import torch
from golden_files import DATA, write_json
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


def logits_of(name):
    if name == "ties":
        return torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0, -1.0, 2.0, 0.0])
    if name == "flat":
        return torch.zeros(8)
    if name == "peaked":
        return torch.tensor([0.0, 40.0, 1.0, -3.0])
    if name == "eighths":
        # Probabilities whose sums are exact, so that a share may be met to the letter.
        return torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625]).log()
    if name == "one":
        return torch.tensor([2.5])
    generator = torch.Generator().manual_seed(7)
    return (torch.randn(60, generator=generator) * 3).round(decimals=2)


SETTINGS = [
    {"temperature": 1.0},
    {"temperature": 0.3},
    {"temperature": 2.5},
    {"temperature": 1.0, "topK": 1},
    {"temperature": 1.0, "topK": 2},
    {"temperature": 1.0, "topK": 3},
    {"temperature": 0.7, "topK": 1000},
    {"temperature": 1.0, "topP": 0.001},
    {"temperature": 1.0, "topP": 0.49},
    {"temperature": 1.0, "topP": 0.6},
    {"temperature": 1.0, "topP": 0.9},
    {"temperature": 1.0, "topP": 0.999},
    {"temperature": 1.0, "minP": 0.02},
    {"temperature": 1.0, "minP": 0.3},
    {"temperature": 1.0, "minP": 1.0},
    {"temperature": 0.6, "topK": 20, "topP": 0.8, "minP": 0.05},
    {"temperature": 1.5, "topK": 5, "topP": 0.97},
    {"temperature": 1.0, "repetitionPenalty": 1.3},
    {"temperature": 0.8, "topP": 0.9, "repetitionPenalty": 0.7},
]


def distribution(logits, used, settings):
    """Probabilities after penalty, temperature, top-k, top-p and min-p, in the order of transformers' generate."""
    ids = torch.tensor([used])
    scores = logits[None].clone()
    filters = []
    if settings.get("repetitionPenalty", 1.0) != 1.0:
        filters.append(RepetitionPenaltyLogitsProcessor(settings["repetitionPenalty"]))
    if settings["temperature"] != 1.0:
        filters.append(TemperatureLogitsWarper(settings["temperature"]))
    if settings.get("topK", 0) > 0:
        filters.append(TopKLogitsWarper(settings["topK"]))
    if settings.get("topP", 1.0) < 1.0:
        filters.append(TopPLogitsWarper(settings["topP"]))
    if settings.get("minP", 0.0) > 0.0:
        filters.append(MinPLogitsWarper(settings["minP"]))
    for one in filters:
        scores = one(ids, scores)
    return scores[0].isfinite(), scores.softmax(-1)[0]


def main():
    cases = []
    for name in ["ties", "flat", "peaked", "eighths", "one", "spread"]:
        logits = logits_of(name)
        used = [0, min(1, len(logits) - 1), 0]
        for settings in SETTINGS:
            finite, p = distribution(logits, used, settings)
            kept = finite.nonzero()[:, 0].tolist()
            cases.append(
                {
                    "logits": name,
                    "used": used,
                    "settings": settings,
                    "kept": kept,
                    "probabilities": [float(f"{value:.7g}") for value in p[kept].tolist()],
                }
            )
            assert math.isclose(sum(cases[-1]["probabilities"]), 1, abs_tol=1e-5)
    names = {case["logits"] for case in cases}
    write_json(
        DATA / "sampling.json",
        {"logits": {name: logits_of(name).tolist() for name in sorted(names)}, "cases": cases},
    )


if __name__ == "__main__":
    main()
