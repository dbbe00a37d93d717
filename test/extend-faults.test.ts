/** What programs add wrongly: refused by name when it is registered, or where it is used, never trained in silence. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AlignMethodSpec,
  command,
  ofMargin,
  type PairLossSpec,
  registerCommand,
  registerJudge,
  registerLoss,
  registerMethod,
  registerRowFormat,
  registerStage,
  registerStrategy,
} from "mahalo/extend";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { run } from "../packages/mahalo/src/cli/testing/run.ts";
import { silenceProgress } from "../packages/mahalo/src/core/progress.ts";
import { makeJudge } from "../packages/mahalo/src/judges/registry.ts";
import { tinyFolder } from "../packages/mahalo/src/model/testing/tiny.ts";
import { parseRecipe } from "../packages/mahalo/src/recipe/load.ts";
import { runRecipe } from "../packages/mahalo/src/recipe/run.ts";

const hinge: PairLossSpec = {
  summary: "a hinge",
  reference: true,
  beta: 0.5,
  reads: [],
  make: () => ofMargin(1, (margin) => ({ loss: Math.max(0, 1 - margin), slope: margin < 1 ? -1 : 0 })),
};
const longer: AlignMethodSpec = { summary: "MAH-DPO by another name.", fields: {}, heads: "each" };

let folder = "";
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-extend-faults-"));
  const rows = Array.from({ length: 10 }, (_, i) => ({
    prompt: `${i}?`,
    chosen: `It is ${i}.`,
    rejected: "No.",
  }));
  await writeFile(join(folder, "pairs.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
});
afterAll(async () => {
  silenceProgress(false);
  await rm(folder, { recursive: true });
});

const written = (): string => `name: faults
model: ${tinyFolder("tiny-llama")}
out: ${folder}
objectives: { longer: { pairs: { path: pairs.jsonl } } }
data: { maxPromptTokens: 64, maxTokens: 96, heldOut: 0.3 }
sft: false
align: { maxSteps: 1, batchSize: 4, precision: f32 }
evaluate: { pairAccuracy: false }
`;
const recipe = (set: string[] = []) => parseRecipe(written(), "recipe.yaml", { folder, set });

describe("what is not as it must be", () => {
  const spec = { version: "1", after: "align", options: z.strictObject({}), run: async () => undefined };

  test.each<[string, () => void, RegExp]>([
    [
      "a loss without its formula",
      () => registerLoss("half", { ...hinge, make: undefined as never }),
      /make is missing/,
    ],
    [
      "nothing at all",
      () => registerStrategy("nothing", undefined as never),
      /must be an object, not missing/,
    ],
    [
      "a method of unknown heads",
      () => registerMethod("eech", { ...longer, heads: "eech" as never }),
      /heads must be one of each/,
    ],
    [
      "a method that trains nothing",
      () => registerMethod("idle", { summary: "", fields: {} }),
      /heads is missing/,
    ],
    ["a map that is none", () => registerRowFormat("bad-map", { prompt: 7 as never }), /prompt|Invalid/],
    [
      "a stage by a recipe's key",
      () => registerStage({ ...spec, name: "seed", dependencies: [] }),
      /name is taken/,
    ],
    [
      "a stage by a file of runs",
      () => registerStage({ ...spec, name: "stale", dependencies: [] }),
      /name is taken/,
    ],
    [
      "a stage behind none",
      () => registerStage({ ...spec, name: "late", after: "never", dependencies: [] }),
      /"never", which is not a stage/,
    ],
    [
      "a stage before what it reads",
      () => registerStage({ ...spec, name: "early", after: "data", dependencies: ["align"] }),
      /"align", which is not a stage that runs before/,
    ],
    ["a name that YAML reads otherwise", () => registerLoss("no", hinge), /YAML/],
    [
      "the command help",
      () => registerCommand("help", () => command({ name: "help", summary: "", examples: [] })),
      /mahalo's own/,
    ],
  ])("%s is refused when it is registered", (_, register, fault) => {
    expect(register).toThrow(fault);
  });

  test("a method that gives too few losses or pairs is refused by name", async () => {
    registerMethod("mah-dpo-few", { ...longer, losses: () => [] });
    registerMethod("mah-dpo-more", { ...longer, rank: ({ pairs }) => [...pairs, ...pairs] });
    const aligned = (method: string) =>
      runRecipe(recipe([`name=${method}`, `align.method=${method}`]), { until: "align" });
    for (const [method, fault] of [
      ["mah-dpo-few", /"mah-dpo-few": losses gives 0 for \d+ pairs/],
      ["mah-dpo-more", /"mah-dpo-more": rank gives \d+ for \d+ pairs/],
    ] as const)
      await expect(aligned(method)).rejects.toThrow(fault);
  });

  test("a judge beyond its scale is refused by name, with the item", async () => {
    registerJudge({
      kind: "wild",
      options: z.strictObject({ score: z.number() }),
      verdictsOn: "manner",
      make: ({ score }) => ({
        name: "wild",
        score: async (items) => items.map(() => ({ score, reason: "" })),
      }),
    });
    const judged = (score: number) =>
      makeJudge({ kind: "wild", score }, "test").score([{ prompt: [], response: "a" }]);
    await expect(judged(0.5)).resolves.toHaveLength(1);
    for (const score of [7, -1])
      await expect(judged(score)).rejects.toThrow(/"wild" gives the score .* in \[0, 1\]/);
  });

  test("a stage that fails is named, and one that is stopped resumes", async () => {
    registerStage({
      ...spec,
      name: "failing",
      dependencies: [],
      run: async ({ signal }) => {
        signal.throwIfAborted();
        throw new TypeError("oh no\nmore");
      },
    });
    const failing = (signal?: AbortSignal) =>
      runRecipe(parseRecipe(`${written()}failing:\n`, "recipe.yaml", { folder }), {
        until: "failing",
        ...(signal === undefined ? {} : { signal }),
      });
    await expect(failing()).rejects.toMatchObject({ code: "E_EXTENSION", message: 'stage "failing": oh no' });
  });

  test("--extend elsewhere, of no program, or of none is a clear error", async () => {
    const status = async (words: string[]) => {
      const { status, err } = await run(words);
      return [status, err];
    };
    expect(await status(["schema", "--extend", "x.ts"])).toEqual([
      2,
      expect.stringContaining("before the command"),
    ]);
    expect(await status(["--extend", "nowhere.ts", "schema"])).toEqual([
      2,
      expect.stringContaining("no such file"),
    ]);
    expect(await status(["--extend", folder, "schema"])).toEqual([
      2,
      expect.stringContaining("is not a file"),
    ]);
    expect(await status(["--extend", join(folder, "pairs.jsonl"), "schema"])).toEqual([
      2,
      expect.stringContaining("must be a program"),
    ]);
  });

  test("reward heads of no objective are refused", () => {
    expect(() => recipe(["reward.heads.longr=value"])).toThrow(
      /unknown objective "longr". Did you mean "longer"/,
    );
  });
});
