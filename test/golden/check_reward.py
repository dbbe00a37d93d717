"""Opens reward-model folders with transformers and scores rows of token ids, or makes such folders.

    python check_reward.py --jobs '[{"folder": DIR}, {"folder": DIR, "make": "sequence", "from": DIR, "labels": 1}]' \\
        --rows '[[1,2,3],[4,5]]' --out FILE

With `make` (sequence or token) the folder is written first: a classifier of random head over the backbone in `from`.
The rows are padded to one batch with the folder's own padding id. The file holds for each job `architecture` and
`logits`: for every row one list of a whole text's numbers, or of each token's; of a backbone without a class of its own,
what the networks in value_head.safetensors make of the hidden states, by head. A folder that loads with weights missing
or left over ends with status 1.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

CLASSES = {
    "SequenceClassification": AutoModelForSequenceClassification,
    "TokenClassification": AutoModelForTokenClassification,
}


def open_folder(folder):
    """The model in float32, of the class that its config.json names."""
    (architecture,) = AutoConfig.from_pretrained(folder, local_files_only=True).architectures
    auto = next((one for name, one in CLASSES.items() if architecture.endswith(name)), AutoModel)
    model, report = auto.from_pretrained(folder, dtype=torch.float32, local_files_only=True, output_loading_info=True)
    wrong = {kind: sorted(map(str, names)) for kind, names in report.items() if names}
    if wrong:
        raise ValueError(f"{folder}: transformers reports {wrong}")
    if type(model).__name__ != architecture:
        raise ValueError(f"{folder}: config.json names {architecture}, transformers made {type(model).__name__}")
    return model.eval()


def value_scores(folder, hidden):
    """What each two-layer head in value_head.safetensors makes of hidden states [tokens, size]."""
    weights = load_file(Path(folder) / "value_head.safetensors")
    scores = {}
    for name in sorted({key.rsplit(".", 2)[0] for key in weights}):
        inner = torch.relu(hidden @ weights[f"{name}.hidden.weight"].T + weights[f"{name}.hidden.bias"])
        scores[name] = (inner @ weights[f"{name}.out.weight"].T + weights[f"{name}.out.bias"])[:, 0].tolist()
    return scores


def score(folder, model, rows):
    """The rows in one padded batch."""
    pad = model.config.pad_token_id
    if pad is None:
        raise ValueError(f"{folder}: config.json has no pad_token_id")
    longest = max(map(len, rows))
    batch = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        out = model(batch, attention_mask=mask)
    if not hasattr(out, "logits"):
        states = [out.last_hidden_state[i, : len(row)] for i, row in enumerate(rows)]
        logits = [value_scores(folder, hidden) for hidden in states]
    elif out.logits.dim() == 2:
        logits = out.logits.tolist()
    else:
        logits = [out.logits[i, : len(row)].tolist() for i, row in enumerate(rows)]
    return {"architecture": type(model).__name__, "logits": logits}


def make(kind, source, labels, target):
    """A classifier over the backbone of a language model, as transformers itself writes it."""
    torch.manual_seed(11)
    auto = CLASSES["SequenceClassification" if kind == "sequence" else "TokenClassification"]
    model = auto.from_pretrained(source, dtype=torch.float32, local_files_only=True, num_labels=labels)
    with torch.no_grad():
        for parameter in model.score.parameters():
            parameter.normal_(0, 0.2)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source, local_files_only=True).save_pretrained(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=json.loads, required=True, help="what to do, as JSON")
    parser.add_argument("--rows", type=json.loads, required=True, help="rows of token ids, as JSON")
    parser.add_argument("--out", required=True, help="JSON file to write")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    result = []
    for job in args.jobs:
        if "make" in job:
            make(job["make"], job["from"], job["labels"], job["folder"])
        AutoTokenizer.from_pretrained(job["folder"], local_files_only=True)
        result.append(score(job["folder"], open_folder(job["folder"]), args.rows))
    out = Path(args.out)
    temporary = out.with_name(f"{out.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.replace(out)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(str(error))
