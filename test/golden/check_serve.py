"""Asks a running server through OpenAI's own Python client, and prints what came back as one JSON document."""

import argparse
import asyncio
import json

import openai

parser = argparse.ArgumentParser()
parser.add_argument("--url", required=True)
parser.add_argument("--model", required=True)
args = parser.parse_args()

client = openai.OpenAI(base_url=f"{args.url}/v1", api_key="none", max_retries=0)
messages = [{"role": "user", "content": "Hi there"}]
ask = dict(model=args.model, messages=messages, max_tokens=12, seed=7)


def error_of(**more):
    """The class and fields of the error that a request ends with."""
    try:
        client.chat.completions.create(**{**ask, **more})
    except openai.APIStatusError as error:
        return dict(kind=type(error).__name__, status=error.status_code, code=error.code, param=error.param)
    return None


async def together(count):
    """Answers of as many clients at once, each under a mix of its own."""
    many = openai.AsyncOpenAI(base_url=f"{args.url}/v1", api_key="none")
    mixes = [dict(accuracy=i / (count - 1), engagement=1 - i / (count - 1)) for i in range(count)]
    asked = [many.chat.completions.create(**ask, extra_body=dict(objective_weights=mix)) for mix in mixes]
    return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]


whole = client.chat.completions.create(**ask, n=2, temperature=1.0)
likely = client.chat.completions.create(**ask, temperature=0, logprobs=True, top_logprobs=2)
stream = client.chat.completions.create(
    **ask, temperature=0, stream=True, stream_options={"include_usage": True}
)
pieces, usage = [], None
for chunk in stream:
    usage = chunk.usage or usage
    pieces += [choice.delta.content or "" for choice in chunk.choices]

print(
    json.dumps(
        dict(
            models=[model.id for model in client.models.list()],
            choices=len(whole.choices),
            text=likely.choices[0].message.content,
            logprobs=[token.logprob for token in likely.choices[0].logprobs.content],
            top=[[other.token for other in token.top_logprobs] for token in likely.choices[0].logprobs.content],
            streamed="".join(pieces),
            usage=usage.completion_tokens,
            named=client.chat.completions.create(**{**ask, "model": f"{args.model}@accuracy=1"}, temperature=0)
            .choices[0]
            .message.content,
            metadata=client.chat.completions.create(**ask, temperature=0, metadata={"mix": "accuracy=1"})
            .choices[0]
            .message.content,
            field=client.chat.completions.create(
                **ask, temperature=0, extra_body={"objective_weights": {"accuracy": 1}}
            )
            .choices[0]
            .message.content,
            completion=client.completions.create(model=args.model, prompt="Hi there", max_tokens=6, temperature=0)
            .choices[0]
            .text,
            together=asyncio.run(together(16)),
            errors=dict(
                model=error_of(model="other"),
                field=error_of(temperature=-1),
                unknown=error_of(extra_body={"temprature": 1}),
            ),
        )
    )
)
