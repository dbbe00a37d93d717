"""Small .safetensors files by Python's own library, which the tests read, and write anew byte for byte.

    python record_safetensors.py              record the files under data/
    python record_safetensors.py --dump FILE  print a file's contents as JSON
    python record_safetensors.py --write FILE write the contents given as JSON on standard input
"""

import argparse
import ctypes
import json
import struct
import sys
from pathlib import Path

from safetensors import TensorSpec, deserialize, safe_open, serialize

DATA = Path(__file__).parent / "data" / "safetensors"

STORED = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}

# struct's letter, and values that test the ends of the range.
VALUES = {
    "float64": ("d", [0.0, -1.5, 1e300, 5e-324]),
    "float32": ("f", [0.0, -1.5, 3.25e38, 1e-45]),
    "float16": ("e", [0.0, -1.5, 65504.0, 6e-8]),
    # The upper halves of 1.0, -2.0, infinity and a NaN.
    "bfloat16": ("H", [0x3F80, 0xC000, 0x7F80, 0x7FC1]),
    "int64": ("q", [0, -1, 2**63 - 1, -(2**63)]),
    "int32": ("i", [0, -1, 2**31 - 1, -(2**31)]),
    "int16": ("h", [0, -1, 32767, -32768]),
    "int8": ("b", [0, -1, 127, -128]),
    "uint8": ("B", [0, 1, 128, 255]),
    "bool": ("B", [0, 1, 1, 0]),
}


def tensor(dtype, shape, values):
    data = struct.pack(f"<{len(values)}{VALUES[dtype][0]}", *values)
    return {"dtype": dtype, "shape": shape, "hex": data.hex()}


def contents_to_record():
    yield (
        "every-dtype",
        {
            "metadata": {"format": "pt"},
            "tensors": {f"layer.{name}": tensor(name, [2, 2], values) for name, (_, values) in VALUES.items()},
        },
    )
    yield "empty", {"metadata": {}, "tensors": {}}
    yield (
        "shapes",
        {
            "metadata": {"note": 'line one\nline "two" 🙂'},
            "tensors": {
                "scalar": tensor("float32", [], [7.0]),
                "none": tensor("int64", [0, 3], []),
                'ünï "quoted" \\ 🙂': tensor("uint8", [1, 1, 3], [1, 2, 3]),
                # By UTF-8 bytes U+FFEE comes before U+1F642; by UTF-16 units it comes after.
                "🙂": tensor("uint8", [1], [5]),
                "\uffee": tensor("uint8", [1], [4]),
                "z\t\n\u007f": tensor("bool", [1], [1]),
            },
        },
    )


def write(contents):
    """The file's bytes; `contents` has metadata, and tensors with dtype, shape and hex."""
    buffers = []
    specs = {}
    for name, entry in contents["tensors"].items():
        data = bytes.fromhex(entry["hex"])
        # A spec holds a bare address: the buffer must outlive it.
        buffers.append(ctypes.create_string_buffer(data, max(len(data), 1)))
        specs[name] = TensorSpec(
            dtype=entry["dtype"],
            shape=entry["shape"],
            data_ptr=ctypes.addressof(buffers[-1]),
            data_len=len(data),
        )
    return bytes(serialize(specs, contents["metadata"] or None))


def dump(path):
    """What a file holds, as `write` takes it."""
    names = {stored: name for name, stored in STORED.items()}
    with safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
    tensors = {
        name: {"dtype": names[view["dtype"]], "shape": view["shape"], "hex": bytes(view["data"]).hex()}
        for name, view in deserialize(Path(path).read_bytes())
    }
    return {"metadata": metadata, "tensors": tensors}


def record():
    DATA.mkdir(parents=True, exist_ok=True)
    for name, contents in contents_to_record():
        path = DATA / f"{name}.safetensors"
        path.write_bytes(write(contents))
        assert dump(path) == contents, name
        text = json.dumps(contents, indent=1, ensure_ascii=False)
        (DATA / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", metavar="FILE")
    parser.add_argument("--write", metavar="FILE")
    args = parser.parse_args()
    if args.dump:
        json.dump(dump(args.dump), sys.stdout)
    elif args.write:
        Path(args.write).write_bytes(write(json.load(sys.stdin)))
    else:
        record()


if __name__ == "__main__":
    main()
