/** Our readers of model sources against what Python's tokenizers, transformers and gguf make of the same. */

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheFolder } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import { chatTemplate } from "../../packages/mahalo/src/data/tokens/chat-template.ts";
import type { Tokenizer } from "../../packages/mahalo/src/data/tokens/tokenizer.ts";
import { openModelSource } from "../../packages/mahalo/src/model/folder/source.ts";
import { dequantize } from "../../packages/mahalo/src/model/gguf/dequantize.ts";
import { readGgufHeader } from "../../packages/mahalo/src/model/gguf/header.ts";
import { fileSource } from "../../packages/mahalo/src/model/gguf/open.ts";
import { tokenizerFromGguf } from "../../packages/mahalo/src/model/gguf/tokenizer.ts";
import { blockLayouts, type GgufType } from "../../packages/mahalo/src/model/gguf/types.ts";
import { checkTokenizerConfig, openTokenizer } from "../../packages/mahalo/src/model/tokenizer/tokenizer.ts";

const data = fileURLToPath(new URL("./data", import.meta.url));
const at = (name: string): string => join(data, "sources", name);
const golden = <T>(path: string, schema: z.ZodType<T>): T =>
  parseJson(readFileSync(path, "utf8"), schema, path);
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const packaged = join(cacheFolder(), "models", "smollm2-135m-instruct");
const setUp = existsSync(packaged) || process.env.CI === "true";
if (!setUp) console.warn(`${packaged} is not there (npm run setup): the tests on SmolLM2 do not run`);

const encodedSchema = z.record(
  z.string(),
  z.array(
    z.strictObject({
      text: z.string(),
      ids: z.array(z.number()),
      special: z.array(z.number()).optional(),
      decoded: z.string().optional(),
      skipped: z.string().optional(),
    }),
  ),
);
const tokens = golden(at("tokens.json"), encodedSchema);

const smallTokenizer = (pre: string): Tokenizer => {
  const { tokenizer, tokenizerConfig } = tokenizerFromGguf(
    readGgufHeader(fileSource(at(`tokenizer-${pre}.gguf`))),
  );
  const config = checkTokenizerConfig(tokenizerConfig, pre);
  return openTokenizer(tokenizer, config, { where: pre, vocabSize: 420, eosIds: [] });
};

/** What a tokenizer makes of every recorded text, in the goldens' form. */
const recordAgain = (tokenizer: Tokenizer, pre: string) =>
  (tokens[pre] ?? []).map(({ text, ids }) => ({
    text,
    ids: tokenizer.encode(text),
    special: tokenizer.encode(text, { special: true }),
    decoded: tokenizer.decode(ids),
    skipped: tokenizer.decode(ids, { skipSpecial: true }),
  }));

const expected = (pre: string) =>
  (tokens[pre] ?? []).map(({ text, ids, special = ids, decoded = text, skipped = decoded }) => ({
    text,
    ids,
    special,
    decoded,
    skipped,
  }));

describe("token ids", () => {
  test.each(["gpt-2", "qwen2", "llama-bpe"])("equal the tokenizers library's for %s", (pre) => {
    expect(recordAgain(smallTokenizer(pre), pre)).toEqual(expected(pre));
  });

  test.skipIf(!setUp)("equal the tokenizers library's for SmolLM2", async () => {
    const { tokenizer } = await openModelSource("smollm2-135m-instruct");
    expect(recordAgain(tokenizer, "smollm")).toEqual(expected("smollm"));
  });
});

const message = z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string() });
const templates = golden(
  at("chat-templates.json"),
  z.strictObject({
    templates: z.record(z.string(), z.string()),
    tokens: z.record(z.string(), z.string()),
    now: z.string(),
    cases: z.array(
      z.strictObject({
        template: z.string(),
        messages: z.array(message),
        generate: z.boolean(),
        rendered: z.string().optional(),
        refused: z.string().optional(),
      }),
    ),
  }),
);

/** The rendered text, or what the template's exception says. */
const render = (render: () => string): { rendered: string } | { refused: string } => {
  try {
    return { rendered: render() };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { refused: text.replace(/^.*the chat template refuses: /, "") };
  }
};

describe("chat templates", () => {
  const now = new Date(templates.now).getTime();

  test.each(Object.entries(templates.templates))("%s renders as in transformers", (name, text) => {
    const template = chatTemplate(text, { where: name, tokens: templates.tokens, now: () => now });
    for (const { template: _, messages, generate, ...result } of templates.cases.filter(
      (one) => one.template === name,
    )) {
      const variables = generate ? { enable_thinking: false } : {};
      expect(render(() => template.render(messages, { addGenerationPrompt: generate, variables }))).toEqual(
        result,
      );
    }
  });

  test.skipIf(!setUp)("SmolLM2's renders as in transformers", async () => {
    const { template } = await openModelSource("smollm2-135m-instruct");
    for (const { messages, generate, rendered } of templates.cases.filter(
      (one) => one.template === "smollm2",
    )) {
      expect(template.render(messages, { addGenerationPrompt: generate })).toBe(rendered);
    }
  });
});

describe("dequantised blocks", () => {
  const isType = (name: string): name is GgufType => Object.hasOwn(blockLayouts, name);
  const blocks = golden(
    at("blocks.json"),
    z.array(
      z.strictObject({
        type: z.string().refine(isType, "must be a type"),
        stored: z.base64(),
        values: z.base64(),
      }),
    ),
  );

  test("every type that can be read is recorded", () => {
    expect(blocks.map(({ type }) => type).sort()).toEqual(Object.keys(blockLayouts).sort());
  });

  test.each(blocks)("$type equals gguf's values bit for bit", ({ type, stored, values }) => {
    const ours = isType(type) ? dequantize(type, Buffer.from(stored, "base64")) : new Float32Array();
    expect(Buffer.from(ours.buffer).toString("base64")).toBe(values);
  });
});

describe("GGUF files written by Python's gguf", () => {
  const models = golden(
    at("models.json"),
    z.array(
      z.strictObject({
        file: z.string(),
        folder: z.string(),
        stored: z.string(),
        sha256: z.record(z.string(), z.string()),
      }),
    ),
  );

  test.each(models)(
    "$file gives the weights, config, tokenizer and template of its folder",
    async (recorded) => {
      const ours = await openModelSource(at(recorded.file));
      const hashes = [...ours.tensors()].map((tensor) => [tensor.name, sha256(tensor.load())]);
      expect(Object.fromEntries(hashes)).toEqual(recorded.sha256);
      const folder = await openModelSource(join(data, "models", recorded.folder));
      const shapes = (source: typeof ours) =>
        Object.fromEntries([...source.tensors()].map(({ name, shape }) => [name, [...shape]]));
      expect(shapes(ours)).toEqual(shapes(folder));
      const { extra: _, ...config } = folder.config;
      expect(ours.config).toEqual({ ...config, padId: undefined, extra: {} });
      expect(ours.tokenizer.encode("the rain on 12<|im_end|>")).toEqual(
        folder.tokenizer.encode("the rain on 12<|im_end|>"),
      );
      expect(ours.tokenizer.eosIds).toEqual(folder.tokenizer.eosIds);
      expect(ours.template.text).toBe(folder.template.text);
    },
  );

  test.skipIf(!setUp)("SmolLM2's weights equal those that transformers reads", async () => {
    const { weights } = golden(
      join(data, "smollm2.json"),
      z.looseObject({
        weights: z.array(
          z.looseObject({
            name: z.string(),
            shape: z.array(z.number()),
            first: z.array(z.number()),
            sum: z.number(),
          }),
        ),
      }),
    );
    const source = await openModelSource("smollm2-135m-instruct");
    const byName = new Map([...source.tensors()].map((tensor) => [tensor.name, tensor]));
    expect(weights.length).toBeGreaterThan(3);
    for (const { name, shape, first, sum } of weights) {
      const tensor = byName.get(name);
      expect(tensor?.shape, name).toEqual(shape);
      const values = new Float32Array(tensor?.load().buffer ?? new ArrayBuffer(0));
      expect([...values.subarray(0, first.length)], name).toEqual(first);
      expect(
        values.reduce((total, value) => total + value, 0),
        name,
      ).toBeCloseTo(sum, 2);
    }
  });
});
