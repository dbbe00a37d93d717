/** Guided search from the command line: generate and chat with guides, and the traces they leave. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import { saveRewardModel } from "../model/reward/reward-model.ts";
import { tinyRewards } from "../model/testing/rewards.ts";
import { readTraces } from "../search/trace-file.ts";
import { layOutModel, type Ran, run, typed } from "./testing/run.ts";

let folder = "";
let model = "";
let rewards = "";
let trace = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-search-"));
  model = await layOutModel(folder);
  rewards = join(folder, "rewards");
  trace = join(folder, "trace.jsonl");
  const several = await tinyRewards("tiny-llama", [
    { name: "accuracy", kind: "soft" },
    { name: "wit", kind: "value" },
  ]);
  await saveRewardModel(several, rewards);
  several.dispose();
});
afterAll(() => rm(folder, { recursive: true }));

const short = ["--max-new-tokens", "12", "--precision", "f32", "--quiet", "--max-step-tokens", "5"];
const generate = (...words: string[]): Promise<Ran> => run(["generate", model, ...short, ...words]);
const answers = z.array(
  z.looseObject({
    response: z.string(),
    steps: z.int().positive(),
    scores: z.record(z.string(), z.number()).optional(),
    spent: z.strictObject({ generated: z.int(), scored: z.int() }),
  }),
);
const answersOf = ({ status, out, err }: Ran): z.output<typeof answers> => {
  expect({ status, err }).toEqual({ status: 0, err: "" });
  return parseJson(out, answers, "standard output");
};
/** Error that ends with status 2. */
const refused = async (ran: Promise<Ran>): Promise<string> => {
  const { status, out, err } = await ran;
  expect({ status, out }).toEqual({ status: 2, out: "" });
  return err;
};

describe("generate --guide", () => {
  test("answers by a search, says scores and what was spent, and leaves a trace that can be drawn", async () => {
    const ran = await generate(
      "--prompt",
      "hello",
      "--guide",
      `${rewards}#accuracy:0.7,${rewards}#wit:0.3`,
      "--candidates",
      "3",
      "--trace",
      trace,
      "--json",
    );
    const [answer] = answersOf(ran);
    expect(Object.keys(answer?.scores ?? {})).toEqual(["accuracy", "wit"]);
    const [tree] = await readTraces(trace);
    expect(tree).toMatchObject({
      strategy: "step",
      weights: { accuracy: 0.7, wit: 0.3 },
      text: answer?.response,
    });
    expect(tree?.tokens).toMatchObject(answer?.spent ?? {});
    const drawn = await run(["trace", trace, "--width", "80"]);
    expect(drawn).toMatchObject({ status: 0, err: "" });
    expect(drawn.out).toContain("guides accuracy:0.7,wit:0.3");
    expect(drawn.out.match(/●/g)).toHaveLength(tree?.path.length ?? 0);
    for (const line of drawn.out.split("\n")) expect([...line].length).toBeLessThanOrEqual(100);
    const kept = await run(["trace", trace, "--row", "1", "--kept"]);
    expect(kept.out.split("\n").length).toBeLessThan(drawn.out.split("\n").length);
    expect(parseJson((await run(["trace", trace, "--json"])).out, z.array(z.unknown()), "out")).toEqual([
      tree,
    ]);
  });

  test("takes judges, several mixes and prompts, each strategy, and the same seed twice", async () => {
    const prompts = join(folder, "prompts.txt");
    await writeFile(prompts, "hello\nworld\n");
    const words = [
      "--prompts",
      prompts,
      "--mix",
      "accuracy=1",
      "--mix",
      "engagement=1",
      "--guide",
      "length=judge:{kind: rule, minWords: 2}:-1",
      "--guide",
      `${rewards}#wit`,
      "--search",
      "beam",
      "--width",
      "2",
      "--normalize",
      "rank",
      "--json",
    ];
    const first = await generate(...words);
    const all = answersOf(first);
    expect(all).toHaveLength(4);
    expect(Object.keys(all[0]?.scores ?? {})).toEqual(["length", "wit"]);
    expect(await generate(...words)).toEqual(first);
    const voted = answersOf(await generate("--prompt", "hello", "--search", "majority", "--json"));
    expect(voted[0]).not.toHaveProperty("scores");
  });

  test("refuses what cannot be, naming the option, the field or the guide", async () => {
    const prompt = ["--prompt", "hello"];
    expect(await refused(generate(...prompt, "--candidates", "3"))).toContain("--guide");
    expect(await refused(generate(...prompt, "--search", "beam"))).toContain("--search beam needs a --guide");
    expect(await refused(run(["generate", model, ...prompt, "--trace", trace]))).toContain("--trace");
    const guided = [...prompt, "--guide", rewards];
    for (const [flag, value] of [
      ["--candidates", "0"],
      ["--width", "2.5"],
      ["--step", "word"],
      ["--choose", "worst"],
      ["--search", "depth"],
    ] as const)
      expect(await refused(generate(...guided, flag, value)), flag).toMatch(`option '${flag}`);
    expect(await refused(generate(...prompt, "--search", "majority", "--choose", "best"))).toContain(
      "--guide",
    );
    expect(await refused(generate(...prompt, "--guide", `${rewards}#grace`))).toContain("grace");
    expect(await refused(generate(...prompt, "--guide", "judge:mathh"))).toContain("math");
    const doubled = await refused(generate(...prompt, "--guide", `${rewards},a=${rewards}#wit`));
    expect(doubled).toContain(`guide ${rewards}: is named for "wit" twice`);
    expect(await refused(generate(...prompt, "--guide", `a=${rewards}`))).toContain(
      'two scores are called "a"',
    );
    const torn = join(folder, "torn.jsonl");
    await writeFile(torn, (await readFile(trace, "utf8")).slice(0, 50));
    expect(await refused(run(["trace", torn]))).toContain("torn.jsonl:1");
    expect(await refused(run(["trace", trace, "--row", "7"]))).toContain("--row 7");
  });
});

test("chat --guide replies by a search, as the conversation goes on", async () => {
  const { status, out } = await run(
    ["chat", model, ...short, "--guide", `${rewards}#wit`, "--candidates", "2", "--json"],
    { input: typed("hello", "and again") },
  );
  expect(status).toBe(0);
  const replies = out
    .trimEnd()
    .split("\n")
    .map((line) =>
      parseJson(
        line,
        z.looseObject({
          response: z.string().min(1),
          tokens: z.int(),
          scores: z.strictObject({ wit: z.number() }),
          steps: z.int().positive(),
          spent: z.strictObject({ generated: z.int().positive(), scored: z.int().positive() }),
        }),
        "out",
      ),
    );
  expect(replies).toHaveLength(2);
});
