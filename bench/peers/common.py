"""What the peers share: arguments, rows as token ids, the peak of resident memory, one JSON line out."""

import argparse
import json
import os
import sys
import time
from importlib.metadata import version

import psutil


def parser(purpose):
    """The arguments that every peer takes."""
    made = argparse.ArgumentParser(description=purpose)
    made.add_argument("--model", required=True, help="Hugging Face folder")
    made.add_argument(
        "--rows", required=True, help="JSONL of objective, prompt, chosen, rejected, or the same as *_ids"
    )
    made.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    made.add_argument(
        "--bf16-weights",
        action="store_true",
        help="with bf16: weights in bf16 too, instead of f32 weights under autocast",
    )
    made.add_argument("--pairs", type=int, default=16, help="rows that are timed (default 16)")
    made.add_argument("--batch", type=int, default=4, help="pairs a step, or prompts a batch (default 4)")
    made.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    made.add_argument("--max-prompt-tokens", type=int, default=512, help="cut from the left (default 512)")
    made.add_argument("--max-tokens", type=int, default=1536, help="prompt and response, cut from the right")
    return made


def training_parser(purpose):
    """Those of the trainers."""
    made = parser(purpose)
    made.add_argument("--micro-batch", type=int, help="pairs a forward pass (default: --batch)")
    made.add_argument("--warmup-steps", type=int, default=1, help="steps before the clock starts (default 1)")
    made.add_argument("--beta", type=float, default=0.1)
    made.add_argument("--learning-rate", type=float, default=1e-6)
    made.add_argument(
        "--order",
        choices=["given", "length"],
        default="length",
        help="order of the timed rows: as in the file, or longest first, which pads least (default)",
    )
    return made


def check_training(args):
    """Refuses sizes that do not divide; fills in the micro-batch."""
    args.micro_batch = args.micro_batch or args.batch
    if args.batch % args.micro_batch or args.pairs % args.batch:
        sys.exit("--micro-batch must divide --batch, and --batch must divide --pairs")
    if args.warmup_steps < 1:
        sys.exit("--warmup-steps must be at least 1: the first step allocates what later ones reuse")


def encode(tokenizer, row):
    """A row's three token lists: the ids as they are where the row has them, else through the chat template."""
    if "prompt_ids" in row:
        return {key: list(row[key]) for key in ("prompt_ids", "chosen_ids", "rejected_ids")}
    prompt = row["prompt"]
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = {"prompt_ids": tokenizer(text, add_special_tokens=False)["input_ids"]}
    for name in ("chosen", "rejected"):
        answer = row[name] if isinstance(row[name], str) else row[name][-1]["content"]
        ids[f"{name}_ids"] = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return ids


def read_rows(args, tokenizer, count):
    """The first `count` rows, cut to the limits; the file starts again from its top where it is shorter."""
    rows = []
    with open(args.rows, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            row = json.loads(line)
            ids = encode(tokenizer, row)
            prompt = ids["prompt_ids"][-args.max_prompt_tokens :]
            room = args.max_tokens - len(prompt)
            chosen, rejected = ids["chosen_ids"][:room], ids["rejected_ids"][:room]
            if not (prompt and chosen and rejected):
                sys.exit(f"{args.rows}:{number}: no token is left of the prompt or of a response")
            rows.append(
                {
                    "objective": row.get("objective", "default"),
                    "prompt_ids": prompt,
                    "chosen_ids": chosen,
                    "rejected_ids": rejected,
                }
            )
            if len(rows) == count:
                break
    if not rows:
        sys.exit(f"{args.rows}: no rows")
    return [rows[index % len(rows)] for index in range(count)]


def order_rows(args, rows):
    """Warm-up rows, then the timed rows in the wanted order. The longest rows warm up, so nothing grows later."""
    longest_first = sorted(rows, key=row_tokens, reverse=True)
    timed = longest_first if args.order == "length" else rows
    return longest_first[: args.batch] * args.warmup_steps + timed


def row_tokens(row):
    """Tokens of both sequences, prompt counted twice, as a trainer of separate sequences sees them."""
    return 2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])


class Clock:
    """Wall time and processor time of each timed piece of work."""

    def __init__(self):
        self.seconds = []
        self.cpu_seconds = []

    def begin(self):
        self.began = time.perf_counter(), time.process_time()

    def end(self):
        self.seconds.append(time.perf_counter() - self.began[0])
        self.cpu_seconds.append(time.process_time() - self.began[1])

    def cpu_share(self, threads, skip=0):
        """Share of the threads' time that the process had: well below 1 where something else kept the cores busy."""
        return sum(self.cpu_seconds[skip:]) / (threads * sum(self.seconds[skip:]))


def reset_peak_memory():
    """Sets the kernel's peak of resident memory back to what is resident now. Returns that."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    return psutil.Process().memory_info().rss


def peak_memory():
    """Peak of resident memory since the reset, in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def start(args):
    """Threads and quiet libraries; to be called before torch is used."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    import torch
    import transformers

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def training_result(args, rows, clock, **more):
    """The fields of a training run; `rows` are the timed ones, `clock` holds all steps, warm-up included."""
    steps = clock.seconds[args.warmup_steps :]
    seconds = sum(steps)
    return {
        "pairs_per_second": args.pairs / seconds,
        "tokens_per_second": sum(map(row_tokens, rows)) / seconds,
        "seconds": seconds,
        "pairs": args.pairs,
        "steps": len(steps),
        "seconds_per_step": [round(value, 3) for value in steps],
        "cpu_share": round(clock.cpu_share(args.threads, args.warmup_steps), 3),
        "tokens_per_pair": sum(map(row_tokens, rows)) / len(rows),
        "batch": args.batch,
        "micro_batch": args.micro_batch,
        "order": args.order,
        **more,
    }


def report(args, peer, result):
    """Prints the one line that bench reads."""
    line = {
        "peer": peer,
        "dtype": args.dtype,
        "bf16_weights": args.bf16_weights,
        "threads": args.threads,
        **result,
        "versions": {name: version(name) for name in ("torch", "transformers", "trl")},
    }
    print(json.dumps(line), flush=True)
