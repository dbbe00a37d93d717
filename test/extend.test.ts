/** What programs add: one of each sort, defined here and registered through the public interface, in a run of a tiny model. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MahaloError, ops } from "@mahalo/torch";
import {
  type AlignMethodSpec,
  best,
  command,
  type Generated,
  keepBest,
  type ModelFamily,
  ofMargin,
  outputOf,
  type PairLossSpec,
  type RewardHeadKind,
  registerCommand,
  registerFamily,
  registerGenerator,
  registerJudge,
  registerLoss,
  registerMethod,
  registerRewardHead,
  registerRowFormat,
  registerRowReader,
  registerStage,
  registerStrategy,
  type Strategy,
} from "mahalo/extend";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { run } from "../packages/mahalo/src/cli/testing/run.ts";
import { noteExtension } from "../packages/mahalo/src/core/extensions.ts";
import { element } from "../packages/mahalo/src/core/need.ts";
import { silenceProgress } from "../packages/mahalo/src/core/progress.ts";
import { guidanceSchema } from "../packages/mahalo/src/evaluate/guidance.ts";
import { loadModel } from "../packages/mahalo/src/model/folder/load.ts";
import { saveModel } from "../packages/mahalo/src/model/folder/save.ts";
import { loadRewardModel } from "../packages/mahalo/src/model/reward/reward-model.ts";
import { logitsOf } from "../packages/mahalo/src/model/testing/tiny.ts";
import { parseRecipe } from "../packages/mahalo/src/recipe/load.ts";
import { planRecipe } from "../packages/mahalo/src/recipe/plan.ts";
import { runRecipe } from "../packages/mahalo/src/recipe/run.ts";
import { recipeJsonSchema } from "../packages/mahalo/src/recipe/schema/json-schema.ts";
import { readMetrics } from "../packages/mahalo/src/train/metrics.ts";

/** A margin loss, as of support vector machines: max(0, 1 - βm). */
const hinge: PairLossSpec = {
  summary: "a hinge",
  reference: true,
  beta: 0.5,
  reads: [],
  make: ({ beta = 0.5 } = {}) =>
    ofMargin(beta, (margin) => ({
      loss: Math.max(0, 1 - beta * margin),
      slope: beta * margin < 1 ? -beta : 0,
    })),
};

/** MAH-DPO on pairs whose longer response is always the chosen one, a pair of long responses counting double. */
const longer: AlignMethodSpec = {
  summary: "MAH-DPO that learns length.",
  fields: {},
  heads: "each",
  rank: ({ pairs }) =>
    pairs.map((pair) =>
      pair.rejected.length > pair.chosen.length
        ? { ...pair, chosen: pair.rejected, rejected: pair.chosen }
        : pair,
    ),
  losses: ({ pairs }, { beta }) =>
    pairs.map(({ chosen }) => {
      const weight = chosen.length > 100 ? 2 : 1;
      return ofMargin(beta, (margin) => ({ loss: -weight * margin, slope: -weight }));
    }),
};

/** tanh of a linear layer, learnt by squared error. */
const squashed: RewardHeadKind = {
  title: "a squashed head",
  outputs: 1,
  probability: false,
  shapes: (hiddenSize) => new Map([["weight", [1, hiddenSize]]]),
  forward: (head, x_ND) => {
    const outputs_NO = ops.tanh(ops.mm(x_ND, head.weight("weight").value.t()));
    return { outputs_NO, lastInput_NI: x_ND };
  },
  backward: (head, x_ND, _, gradient_NO) => {
    const weight = head.weight("weight");
    const y_NO = ops.tanh(ops.mm(x_ND, weight.value.detach().t()));
    const inner_NO = gradient_NO.mul(y_NO.mul(y_NO).mul(-1).add(1));
    weight.accumulate(ops.mm(inner_NO.t(), x_ND));
    return ops.mm(inner_NO, weight.value.detach());
  },
  score: (outputs) => element(outputs, 0),
  steps: {
    loss: (outputs, label) => {
      const distance = element(outputs, 0) - label;
      return { loss: distance * distance, gradients: [2 * distance] };
    },
    accepts: (label) => Math.abs(label) <= 1,
    range: "a number from -1 to 1",
    classes: false,
  },
};

/** Keeps the path whose scores are worst, to see what a search is worth. */
const worst: Strategy = {
  summary: "keeps the worst",
  scored: true,
  choice: best,
  begin: ({ candidates }) => [candidates],
  step: (competitors, { candidates }) =>
    keepBest(
      competitors.map((competitor) => ({ ...competitor, total: -competitor.total })),
      1,
      candidates,
    ),
};

/** Mistral without sliding windows: a Llama by another name, whose files may name a head's width. */
const mistral: ModelFamily = {
  className: "Mistral",
  defaults: { ropeTheta: 10_000, maxPositions: 131_072, tieEmbeddings: false, maxWindowLayers: 0 },
  biases: () => ({ qkvBias: false, outputBias: false }),
  qkNorm: false,
  keys: () => ({ sliding_window: null }),
};

const letters = z.strictObject({ letter: z.string().length(1).default("e") });

const sums = z.strictObject({ rows: z.int().positive().default(8) });

const makeSums = ({ rows }: z.output<typeof sums>, seed: number): Generated => {
  const problems = Array.from({ length: rows + 2 }, (_, index) => ({
    prompt: [{ role: "user" as const, content: `${seed + index} + 1 = ?` }],
    answer: String(seed + index + 1),
    origin: { file: "sums", line: index + 1 },
  }));
  const pairs = problems.map((problem) => ({
    ...problem,
    objective: "right",
    chosen: `It is ${problem.answer}.`,
    rejected: "I do not know.",
  }));
  return { train: pairs.slice(0, rows), heldOut: pairs.slice(rows), problems: problems.slice(rows) };
};

registerLoss("hinge", hinge);
registerMethod("mah-dpo-longer", longer);
registerRewardHead("squashed", squashed);
registerJudge({
  kind: "letter",
  options: letters,
  verdictsOn: "manner",
  make: ({ letter }) => ({
    name: "letter",
    score: async (items) =>
      items.map(({ response }) => {
        const count = response.split(letter).length - 1;
        return { score: count / (count + 1), reason: `${count} of ${letter}` };
      }),
  }),
});
registerStrategy("worst", worst);
registerFamily("mistral", mistral);
registerRowFormat("question-good-bad", { prompt: "q", chosen: "good", rejected: "bad" });
registerRowReader("step-scores", {
  read: (row) => {
    const { q, parts } = z.object({ q: z.string(), parts: z.record(z.string(), z.number()) }).parse(row);
    return [{ prompt: q, completions: Object.keys(parts), labels: Object.values(parts) }];
  },
  none: "has no steps",
});
registerRowFormat("scored-parts", { reader: "step-scores" });
registerCommand("count-letters", (io) =>
  command({
    name: "count-letters",
    summary: "Count the letters of a text.",
    examples: [["mahalo count-letters abc", "3"]],
  })
    .argument("<text>")
    .action((text: string, options: object) =>
      outputOf(io, options).result({ letters: text.length }, () => `${text.length}\n`),
    ),
);
registerStage({
  name: "weigh",
  version: "1",
  after: "align",
  dependencies: ["align"],
  options: z.strictObject({ scale: z.number().default(2) }),
  run: async ({ options, folder, folderOf }) => {
    const metrics = await readMetrics(join(folderOf("align") ?? "", "metrics.jsonl"));
    await writeFile(join(folder, "weight.json"), JSON.stringify(metrics.length * options.scale));
  },
});
registerGenerator({ name: "sums", objectives: ["right"], options: sums, generate: makeSums });

const tiny = fileURLToPath(new URL("golden/data/models/tiny-llama", import.meta.url));
let folder = "";
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-extend-"));
  const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  await writeFile(
    join(folder, "pairs.jsonl"),
    lines(Array.from({ length: 12 }, (_, i) => ({ q: `Is ${i} even?`, good: "Let us see.", bad: "No" }))),
  );
  await writeFile(
    join(folder, "parts.jsonl"),
    lines(Array.from({ length: 8 }, (_, i) => ({ q: `Add ${i}.`, parts: { "One.\n": 0.5, "Two.": -0.5 } }))),
  );
  await cp(tiny, join(folder, "model"), { recursive: true });
  const config = JSON.parse(await readFile(join(folder, "model", "config.json"), "utf8"));
  await writeFile(
    join(folder, "model", "config.json"),
    JSON.stringify({ ...config, model_type: "mistral", architectures: ["MistralForCausalLM"] }),
  );
});
afterAll(async () => {
  silenceProgress(false);
  await rm(folder, { recursive: true });
});

const written = (): string => `name: added
model: ${join(folder, "model")}
out: ${folder}
objectives:
  right: { generator: { name: sums }, judge: { kind: math } }
  longer:
    pairs: { path: pairs.jsonl, format: question-good-bad }
    steps: { path: parts.jsonl, format: scored-parts }
    judge: { kind: letter, letter: o }
data: { maxPromptTokens: 64, maxTokens: 96, heldOut: 0.3 }
sft: { maxSteps: 1, batchSize: 4, precision: f32 }
reward: { maxSteps: 2, batchSize: 4, precision: f32, heads: { longer: squashed } }
align: { method: mah-dpo-longer, maxSteps: 2, batchSize: 4, precision: f32 }
weigh: { scale: 3 }
evaluate: { mixes: 2, prompts: 2, maxNewTokens: 4, kl: false }
guide:
  prompts: 4
  policies: [aligned]
  maxNewTokens: 8
  search: { strategy: worst, candidates: 2, step: line, maxStepTokens: 4 }
`;
const recipe = (set: string[] = []) => parseRecipe(written(), "recipe.yaml", { folder, set });

describe("one of each, added by a program", () => {
  test("stands in a recipe, and a run does what each says", async () => {
    const { stages } = await runRecipe(recipe());
    expect(stages.map(({ name }) => name)).toEqual([
      "data",
      "sft",
      "reward",
      "align",
      "weigh",
      "evaluate",
      "guide",
      "report",
    ]);
    const at = join(folder, "added");
    expect(JSON.parse(await readFile(join(at, "weigh", "weight.json"), "utf8"))).toBe(9);
    const results = JSON.parse(await readFile(join(at, "results.json"), "utf8"));
    expect(JSON.stringify(results)).toContain('"longer"');
    const { points } = guidanceSchema.parse(JSON.parse(await readFile(join(at, "guidance.json"), "utf8")));
    expect(points.length).toBeGreaterThan(1);
    const reward = await loadRewardModel(join(at, "reward", "longer", "model"));
    expect(reward.rewards.all.map(({ kind }) => kind)).toEqual(["squashed"]);
    reward.dispose();
    const aligned = await loadModel(join(at, "align", "model"));
    expect([aligned.backbone.config.family, aligned.heads.objectives]).toEqual([
      "mistral",
      ["right", "longer"],
    ]);
    aligned.dispose();
    expect((await runRecipe(recipe())).stages.every(({ did }) => did === "kept")).toBe(true);
    const again = await runRecipe(recipe(["weigh.scale=4"]));
    expect(again.stages.flatMap(({ name, did }) => (did === "kept" ? [] : [name]))).toEqual(["weigh"]);
  });

  test("is left out with its block, planned for, and part of the editors' schema", async () => {
    const plan = await planRecipe(recipe());
    expect(plan.stages.map(({ name }) => name)).toContain("weigh");
    const without = parseRecipe(written().replace(/^weigh.*\n/m, ""), "recipe.yaml", { folder });
    expect((await planRecipe(without)).stages.map(({ name }) => name)).not.toContain("weigh");
    const schema = JSON.stringify(recipeJsonSchema());
    for (const name of ["hinge", "mah-dpo-longer", "squashed", "letter", "worst", "sums", "weigh", "scale"])
      expect(schema, name).toContain(`"${name}"`);
  });

  test("has its loss in a step, with the gradient of its own formula", async () => {
    const set = ["name=hinged", "reward=false", "align.method=mah-dpo", "align.loss=hinge"];
    const without = written().replace(/^(weigh.*|guide:[\s\S]*)/gm, "");
    await runRecipe(parseRecipe(without, "recipe.yaml", { folder, set }), { until: "align" });
    const [first] = await readMetrics(join(folder, "hinged", "align", "metrics.jsonl"));
    // At the first step policy and reference are the same but for the heads' noise.
    expect(Number(first?.loss)).toBeCloseTo(1, 1);
    const { make } = hinge;
    const pair = {
      chosen: -3,
      rejected: -2,
      refChosen: -3,
      refRejected: -2.5,
      chosenLength: 4,
      rejectedLength: 2,
    };
    const h = 1e-5;
    const slope =
      (make()({ ...pair, chosen: -3 + h }).loss - make()({ ...pair, chosen: -3 - h }).loss) / (2 * h);
    expect(make()(pair).dChosen).toBeCloseTo(slope, 6);
  });

  test("a family reads and writes the same model as the one it resembles", async () => {
    const [llama, same] = [await loadModel(tiny), await loadModel(join(folder, "model"))];
    const [expected, found] = [llama, same].map((model) => logitsOf(model, [5, 17, 200, 42]));
    expect(found).toEqual(expected);
    await saveModel(same, join(folder, "copy"));
    const config = JSON.parse(await readFile(join(folder, "copy", "config.json"), "utf8"));
    expect(config).toMatchObject({
      model_type: "mistral",
      architectures: ["MistralForCausalLM"],
      sliding_window: null,
    });
    for (const model of [llama, same]) model.dispose();
  });

  test("is on the command line: a command, and a name among an option's choices", async () => {
    expect((await run(["count-letters", "abc"])).out).toBe("3\n");
    expect((await run(["--help"])).out).toContain("count-letters");
    expect((await run(["generate", "--help"])).out).toMatch(/"worst"/);
  });
});

test("a program's content decides the stages that name what it adds", async () => {
  const states = async (): Promise<string[]> =>
    (await planRecipe(recipe())).stages.flatMap(({ name, state }) => (state === "fresh" ? [] : [name]));
  await runRecipe(recipe());
  expect(await states()).toEqual([]);
  noteExtension("mine.ts", "another content");
  const stale = await states();
  expect(stale).toEqual(expect.arrayContaining(["data", "reward", "align", "weigh"]));
});

describe("names", () => {
  test("that are taken, or that no recipe could hold, are refused", () => {
    expect(() => registerLoss("sigmoid", hinge)).toThrow(/preference loss "sigmoid": is registered already/);
    for (const name of ["", "a b", "constructor", "x".repeat(65)])
      expect(() => registerMethod(name, longer), name).toThrow(MahaloError);
  });

  test("that are unknown are answered with the nearest, those added among them", () => {
    expect(() => recipe(["align.loss=hing"])).toThrow(/align.loss: .*Did you mean "hinge"/);
    expect(() => recipe(["objectives.longer.judge.kind=leter"])).toThrow(/letter/);
    expect(() => recipe(["weigh.scal=3"])).toThrow(/weigh.*unknown key "scal". Did you mean "scale"/);
    expect(() => recipe(["wiegh.scale=3"])).toThrow(/unknown key "wiegh". Did you mean "weigh"/);
  });
});
