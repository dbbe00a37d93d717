/** Facts about opening models by path, packaged name and hub id, and about folders that are no models. */
import { cpSync, readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SET_UP_COMMAND } from "@mahalo/torch";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { defaultChatTemplate } from "../../data/tokens/chat-template.ts";
import type { ModelSource } from "./model-source.ts";
import { packagedModel } from "./packaged.ts";
import { openModelSource } from "./source.ts";

const golden = fileURLToPath(new URL("../../../../../test/golden/data", import.meta.url));
const tiny = join(golden, "models", "tiny-llama");
const code = (name: string) => expect.objectContaining({ code: name });

let root = "";
let folder = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "mahalo-source-"));
  folder = join(root, "model");
  cpSync(tiny, folder, { recursive: true });
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  vi.stubEnv("HF_HOME", join(root, "hf"));
  vi.stubEnv("MAHALO_MIRROR", join(root, "mirror"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});
const put = (name: string, content: unknown) =>
  writeFile(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
const readObject = (name: string): Record<string, unknown> =>
  Object.fromEntries(Object.entries(JSON.parse(readFileSync(join(folder, name), "utf8"))));

describe("openModelSource", () => {
  test("a folder gives config, tokenizer, template, tensors and the files to save", async () => {
    const source = await openModelSource(folder);
    expect(source.config.family).toBe("llama");
    expect(source.template.render([{ role: "user", content: "Hi" }], { addGenerationPrompt: true })).toBe(
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    );
    const tensors = [...source.tensors()];
    const embedding = tensors.find(({ name }) => name === "model.embed_tokens.weight");
    expect(embedding).toMatchObject({ shape: [256, 64], dtype: "float32", stored: "F32" });
    expect(embedding?.load().length).toBe(256 * 64 * 4);
    expect([...source.files.keys()].sort()).toEqual([
      "chat_template.jinja",
      "config.json",
      "generation_config.json",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(source.files.get("tokenizer.json")).toBe(readFileSync(join(folder, "tokenizer.json"), "utf8"));
  });

  test("a hub id leads to the mirror, for a folder and for a .gguf file", async () => {
    cpSync(folder, join(root, "mirror", "owner", "tiny"), { recursive: true });
    cpSync(join(golden, "sources", "tiny-qwen3.gguf"), join(root, "mirror", "owner", "tiny", "q.gguf"));
    expect((await openModelSource("owner/tiny")).origin).toBe(join(root, "mirror", "owner", "tiny"));
    const gguf = await openModelSource("owner/tiny/q.gguf");
    expect(gguf.config.family).toBe("qwen3");
    await expect(openModelSource("owner/other")).rejects.toEqual(code("E_HUB_OFFLINE"));
  });

  test("a packaged name that is not set up says what to run", () => {
    expect(() => packagedModel("smollm2-135m-instruct", { XDG_CACHE_HOME: root })).toThrow(
      expect.objectContaining({ code: "E_MODEL_NOT_SET_UP", hint: expect.stringContaining(SET_UP_COMMAND) }),
    );
    expect(packagedModel("another", { XDG_CACHE_HOME: root })).toBeUndefined();
  });

  test("a packaged name is found under the cache folder", async () => {
    const place = join(root, "mahalo", "models", "smollm2-135m-instruct");
    await mkdir(place, { recursive: true });
    const file = join(place, "SmolLM2-135M-Instruct.Q4_1.gguf");
    cpSync(join(golden, "sources", "tiny-llama.gguf"), file);
    vi.stubEnv("XDG_CACHE_HOME", root);
    expect((await openModelSource("smollm2-135m-instruct")).origin).toBe(file);
  });

  test("a name that is nothing suggests the packaged one", async () => {
    await expect(openModelSource("smollm2-135m-instuct")).rejects.toThrow(/"smollm2-135m-instruct"/);
    await expect(openModelSource("no/such/path/model.bin")).rejects.toEqual(code("E_MODEL_UNKNOWN"));
    await expect(openModelSource(join(folder, "config.json"))).rejects.toThrow(/is not a \.gguf file/);
  });
});

describe("folders", () => {
  test.each(["config.json", "tokenizer.json"])("without %s are refused", async (name) => {
    await rm(join(folder, name));
    await expect(openModelSource(folder)).rejects.toThrow(new RegExp(`has no ${name.replace(".", "\\.")}`));
  });

  test("that hold models, as a run's does, name them", async () => {
    const run = join(folder, "run");
    await mkdir(join(run, "align", "model"), { recursive: true });
    await copyFile(join(folder, "config.json"), join(run, "align", "model", "config.json"));
    await expect(openModelSource(run)).rejects.toThrow(
      /run: is not a model, but contains .*run\/align\/model$/,
    );
  });

  test("with pickled weights only are refused", async () => {
    await rm(join(folder, "model.safetensors"));
    await put("pytorch_model.bin", "x");
    await expect(openModelSource(folder)).rejects.toEqual(code("E_SAFETENSORS_FILE"));
  });

  test("the template comes from its file, else from tokenizer_config.json, else it is the default one", async () => {
    const config = readObject("tokenizer_config.json");
    const templates = [
      { name: "tool_use", template: "T" },
      { name: "default", template: "D" },
    ];
    await put("tokenizer_config.json", { ...config, chat_template: templates });
    expect((await openModelSource(folder)).template.text).toContain("im_start");
    await rm(join(folder, "chat_template.jinja"));
    expect((await openModelSource(folder)).template.text).toBe("D");
    await put("tokenizer_config.json", { ...config, chat_template: "{{ eos_token }}!" });
    const source = await openModelSource(folder);
    expect(source.template.render([])).toBe("<|im_end|>!");
    expect(source.files.get("chat_template.jinja")).toBe("{{ eos_token }}!");
    await put("tokenizer_config.json", { ...config, chat_template: undefined });
    expect((await openModelSource(folder)).template.text).toBe(defaultChatTemplate);
  });

  test("sampling defaults and further end tokens come from generation_config.json", async () => {
    await put("generation_config.json", {
      do_sample: true,
      temperature: 0.6,
      top_p: 0.9,
      top_k: null,
      eos_token_id: [2, 0],
      max_length: 100,
    });
    const source = await openModelSource(folder);
    expect(source.generation).toEqual({ sample: true, temperature: 0.6, topP: 0.9 });
    expect(source.tokenizer.eosIds).toEqual([2, 0]);
    await put("generation_config.json", { temperature: "hot" });
    await expect(openModelSource(folder)).rejects.toThrow(/generation_config\.json: temperature/);
  });
});

describe("the end of a turn", () => {
  const ends = (source: ModelSource) => ({
    tokenizer: source.tokenizer.eosIds,
    config: source.config.eosIds,
    generation: JSON.parse(source.files.get("generation_config.json") ?? "{}").eos_token_id,
    named: JSON.parse(source.files.get("tokenizer_config.json") ?? "{}").eos_token,
  });
  /** A base model with a chat template: the files call another token the end than the template writes. */
  const putEnd = async () => {
    await put("config.json", { ...readObject("config.json"), eos_token_id: 0 });
    await put("generation_config.json", { ...readObject("generation_config.json"), eos_token_id: 0 });
    await put("tokenizer_config.json", {
      ...readObject("tokenizer_config.json"),
      eos_token: "<|endoftext|>",
    });
  };

  test("that the files name stays as it is, byte for byte", async () => {
    const source = await openModelSource(folder);
    expect(ends(source)).toEqual({ tokenizer: [2], config: [2], generation: 2, named: "<|im_end|>" });
    for (const name of ["generation_config.json", "tokenizer_config.json"])
      expect(source.files.get(name)).toBe(readFileSync(join(folder, name), "utf8"));
  });

  test("that only the template writes is an end of the model, and of every file that is saved", async () => {
    await putEnd();
    const both = [0, 2];
    expect(ends(await openModelSource(folder))).toEqual({
      tokenizer: both,
      config: both,
      generation: both,
      named: "<|im_end|>",
    });
    // A template that writes the tokenizer's end token for something else still finds it.
    await put(
      "chat_template.jinja",
      `${readFileSync(join(folder, "chat_template.jinja"), "utf8")}{{ eos_token }}`,
    );
    expect(ends(await openModelSource(folder))).toMatchObject({ tokenizer: both, named: "<|endoftext|>" });
  });

  test("that generation_config.json alone lacks is added there", async () => {
    await put("generation_config.json", { eos_token_id: 0, temperature: 0.5 });
    const source = await openModelSource(folder);
    expect(ends(source)).toEqual({ tokenizer: [2, 0], config: [2], generation: [0, 2], named: "<|im_end|>" });
    expect(source.generation).toEqual({ temperature: 0.5 });
    await put("generation_config.json", { temperature: 0.5 });
    expect(ends(await openModelSource(folder)).generation).toEqual([2]);
  });

  test("that no template writes is the model's own", async () => {
    await put("chat_template.jinja", "{% for m in messages %}{{ m.content }}\n{% endfor %}");
    expect(ends(await openModelSource(folder))).toMatchObject({ tokenizer: [2], config: [2], generation: 2 });
    await putEnd();
    expect(ends(await openModelSource(folder))).toMatchObject({ tokenizer: [0], generation: 0 });
  });

  test("is read off a GGUF file's template alike", async () => {
    const bytes = readFileSync(join(golden, "sources", "tiny-qwen2.gguf"));
    const key = "tokenizer.ggml.eos_token_id";
    const value = bytes.indexOf(key) + key.length + 4;
    expect(bytes.readUInt32LE(value)).toBe(2);
    bytes.writeUInt32LE(0, value);
    const path = join(root, "base.gguf");
    await writeFile(path, bytes);
    const both = [0, 2];
    expect(ends(await openModelSource(path))).toEqual({
      tokenizer: both,
      config: both,
      generation: both,
      named: "<|im_end|>",
    });
  });
});

describe("special tokens", () => {
  const template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";
  const rendered = async (): Promise<string> => {
    await put("chat_template.jinja", template);
    return (await openModelSource(folder)).template.render([{ role: "user", content: "Hi" }]);
  };
  const without = (...names: string[]): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(readObject("tokenizer_config.json")).filter(([name]) => !names.includes(name)),
    );

  test("are read from special_tokens_map.json where only that names them, and saved", async () => {
    await put("tokenizer_config.json", without("bos_token", "eos_token"));
    await put("special_tokens_map.json", {
      bos_token: "<|im_start|>",
      eos_token: { content: "<|endoftext|>" },
    });
    expect(await rendered()).toBe("<|im_start|>Hi<|endoftext|>");
    const source = await openModelSource(folder);
    expect(source.tokenizer.eosIds).toEqual([2, 0]);
    expect(JSON.parse(source.files.get("tokenizer_config.json") ?? "{}")).toMatchObject({
      bos_token: "<|im_start|>",
      eos_token: "<|endoftext|>",
    });
  });

  test("are tokenizer_config.json's where both files name them", async () => {
    await put("special_tokens_map.json", { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>" });
    expect(await rendered()).toBe("<|im_start|>Hi<|im_end|>");
  });

  test("are config.json's ids where no file of the tokenizer speaks of them; null means none", async () => {
    await put("tokenizer_config.json", without("bos_token", "eos_token"));
    expect(await rendered()).toBe("<|im_start|>Hi<|im_end|>");
    await put("tokenizer_config.json", { ...without("eos_token"), bos_token: null });
    expect(await rendered()).toBe("Hi<|im_end|>");
  });

  test("of a map that is none are refused", async () => {
    await put("special_tokens_map.json", { bos_token: 3 });
    await expect(openModelSource(folder)).rejects.toThrow(/special_tokens_map\.json: bos_token/);
  });
});

describe("GGUF files", () => {
  test("a file cut short is refused", async () => {
    const whole = readFileSync(join(golden, "sources", "tiny-llama.gguf"));
    const path = join(root, "cut.gguf");
    await writeFile(path, whole.subarray(0, whole.length - 1));
    await expect(openModelSource(path)).rejects.toThrow(/ends at byte \d+, but the file has/);
  });

  test("a file that changes under our hands is an error, not wrong numbers", async () => {
    const whole = readFileSync(join(golden, "sources", "tiny-llama.gguf"));
    const path = join(root, "changing.gguf");
    await writeFile(path, whole);
    const source = await openModelSource(path);
    await writeFile(path, whole.subarray(0, 20_000));
    expect(() => [...source.tensors()].map((tensor) => tensor.load())).toThrow(code("E_GGUF"));
  });
});
