/** Greedy answers by llama.cpp on the packaged model's own file, through node-llama-cpp; prints one line of JSON. */
import { cpSync, existsSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { type InstructionSet, MahaloError, requestedInstructionSet } from "@mahalo/torch";
import { packagedModel } from "../../packages/mahalo/src/model/folder/packaged.ts";
import { count } from "../options.ts";
import { benchFolder, benchModel } from "../peer-model.ts";
import { readRows } from "../rows.ts";
import { cpuSeconds } from "../usage.ts";
import type { Side } from "./results.ts";

/** The part of node-llama-cpp's interface that this uses. */
type LlamaModule = {
  getLlama(options: { gpu: false; build: "never"; maxThreads: number; logLevel: string }): Promise<{
    loadModel(options: { modelPath: string }): Promise<{
      createContext(options: { contextSize: number; threads: number; sequences: number }): Promise<Context>;
    }>;
  }>;
};
type Context = { getSequence(): Sequence };
type Sequence = {
  evaluate(
    tokens: readonly number[],
    options: { temperature: number; yieldEogToken: boolean },
  ): AsyncGenerator<number, void>;
  clearHistory(): Promise<void>;
};

/** Names in llama.cpp's own libraries of each set of instructions, and what they need. */
const libraries: Readonly<Record<InstructionSet, readonly string[]>> = {
  plain: ["x64", "sse42"],
  avx2: ["x64", "sse42", "sandybridge", "ivybridge", "piledriver", "haswell"],
  avx512: ["x64", "sse42", "sandybridge", "ivybridge", "piledriver", "haswell", "skylakex"],
  "avx512-bf16": [
    ...["x64", "sse42", "sandybridge", "ivybridge", "piledriver", "haswell"],
    ...["skylakex", "cannonlake", "cascadelake", "icelake", "cooperlake", "zen4"],
  ],
  amx: [],
};

/** The folder of the package; held to a lower set of instructions, a copy without the libraries of higher ones. */
const packageFolder = (): string => {
  const folder = join(benchFolder, "llama");
  const set = requestedInstructionSet();
  if (set === undefined || set === "amx") return folder;
  const held = `${folder}-${set}`;
  if (existsSync(folder) && !existsSync(held)) {
    const leave = (path: string): boolean => {
      const name = /libggml-cpu-(\w+)\.so$/.exec(path)?.[1];
      return name === undefined || libraries[set].includes(name);
    };
    cpSync(realpathSync(folder), held, { recursive: true, filter: leave });
  }
  return held;
};

const load = async (): Promise<LlamaModule> => {
  const require = createRequire(join(packageFolder(), "package.json"));
  let path: string;
  try {
    path = require.resolve("node-llama-cpp");
  } catch {
    throw new MahaloError("E_BENCH_LLAMA", `${join(benchFolder, "llama")}: node-llama-cpp is not there`, {
      hint: "npm install --prefix build/bench/llama --ignore-scripts node-llama-cpp@3.21.1, or leave the part `fastest` out",
    });
  }
  return (await import(pathToFileURL(path).href)) as LlamaModule;
};

const main = async (): Promise<Side> => {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { rows: text, "new-tokens": text, threads: text } });
  const newTokens = count("new-tokens", values["new-tokens"] ?? "128", 2);
  const threads = count("threads", values.threads ?? "1");
  const prompts = readRows(values.rows ?? "").map(({ prompt_ids }) => prompt_ids);
  const { getLlama } = await load();
  const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, logLevel: "error" });
  const model = await llama.loadModel({ modelPath: packagedModel(benchModel) ?? "" });
  const context = await model.createContext({ contextSize: 2048, threads, sequences: 1 });
  const sequence = context.getSequence();
  const answer = async (ids: readonly number[], tokens: number) => {
    await sequence.clearHistory();
    const [began, cpuBegan] = [performance.now(), cpuSeconds()];
    const generated: number[] = [];
    for await (const id of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
      generated.push(id);
      if (generated.length === tokens) break;
    }
    const seconds = (performance.now() - began) / 1000;
    if (generated.length !== tokens)
      throw new Error(`generated ${generated.length} tokens instead of ${tokens}`);
    return { generated, seconds, cpu: cpuSeconds() - cpuBegan };
  };
  await answer(prompts[0] ?? [], 8);
  let promptSeconds = 0;
  for (const ids of prompts) promptSeconds += (await answer(ids, 1)).seconds;
  const runs = [];
  for (const ids of prompts) runs.push(await answer(ids, newTokens));
  const seconds = runs.reduce((total, run) => total + run.seconds, 0);
  return {
    tokens: prompts.length * newTokens,
    seconds,
    prompt_seconds: promptSeconds,
    prompts: prompts.length,
    prompt_tokens: prompts.reduce((total, { length }) => total + length, 0),
    cpu_share: runs.reduce((total, run) => total + run.cpu, 0) / (threads * seconds),
    first_ids: runs[0]?.generated ?? [],
  };
};

process.stdout.write(`${JSON.stringify(await main())}\n`);
process.exit(0);
