/** Rollouts: what goes on from where, the same tokens as from scratch, and files that survive a kill. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { canonicalJson } from "../core/json.ts";
import { silenceProgress } from "../core/progress.ts";
import { Problems } from "../data/rows/problems.ts";
import { encodePrompt } from "../data/tokens/encode.ts";
import { uncachedDecoder } from "../decode/decoder.ts";
import { generateAll } from "../decode/generate.ts";
import type { Judge } from "../judges/types.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { tinyModel, withFolder } from "../model/testing/tiny.ts";
import { type RolloutRow, readRollouts } from "./file.ts";
import type { RolloutGenerator } from "./generator.ts";
import {
  planResponses,
  type ResponseOptions,
  type RolloutSource,
  type RunRolloutsOptions,
  runRollouts,
} from "./monte-carlo.ts";
import { rollTiny, rows, textJudge, tinyGenerator } from "./testing/rollouts.ts";

let model: LanguageModel;
beforeAll(async () => {
  silenceProgress(true);
  model = await tinyModel("tiny-llama");
});
afterAll(() => {
  model.dispose();
  silenceProgress(false);
});

type Given = { sources?: RolloutSource[]; generator?: RolloutGenerator; judge?: Judge } & ResponseOptions &
  Partial<RunRolloutsOptions>;

const run = async (
  out: string,
  { sources = rows(3), generator = tinyGenerator(model), judge = textJudge(), ...rest }: Given = {},
) => {
  const tasks = planResponses(sources, generator, { samples: 3, ...rest });
  const summary = await runRollouts(tasks, {
    out,
    generator,
    judge,
    judgeContent: "text",
    batchSize: 6,
    ...rest,
  });
  const written: RolloutRow[] = [];
  for await (const row of readRollouts(out)) written.push(row);
  return { summary, written };
};

const made = ({ rollouts }: RolloutRow) => rollouts.filter(({ finish }) => finish !== "recorded");

describe("a response", () => {
  test("is gone on from at every boundary inside it, and is its own ending behind its last step", () =>
    withFolder(async (folder) => {
      const { written } = await run(join(folder, "rollouts.jsonl"));
      for (const [at, row] of written.entries()) {
        expect(row.steps.join("")).toBe(rows(3)[at]?.response);
        const inner = row.steps.slice(1).map((_, index) => index + 1);
        expect(made(row).map(({ from, sample }) => [from, sample])).toEqual(
          inner.flatMap((from) => [0, 1, 2].map((sample) => [from, sample])),
        );
        const own = row.rollouts.filter(({ finish }) => finish === "recorded");
        expect(own).toMatchObject([{ from: row.steps.length, steps: row.steps.length, text: "" }]);
      }
    }));

  test("is gone on from at its prompt, too, where that is asked", () =>
    withFolder(async (folder) => {
      const { written } = await run(join(folder, "rollouts.jsonl"), { fromPrompt: true });
      expect(written.map((row) => made(row).filter(({ from }) => from === 0).length)).toEqual([3, 3, 3]);
    }));

  test("that is missing leaves the prompt to be answered", () =>
    withFolder(async (folder) => {
      const sources = rows(2).map(({ response: _, ...row }) => row);
      const { written, summary } = await run(join(folder, "rollouts.jsonl"), { sources });
      expect(summary).toMatchObject({ rows: 2, rollouts: 6, kept: 0 });
      for (const { steps, rollouts } of written) {
        expect(steps).toEqual([]);
        expect(rollouts.map(({ from, sample }) => [from, sample])).toEqual([
          [0, 0],
          [0, 1],
          [0, 2],
        ]);
      }
    }));

  test("is judged whole: prefix, continuation and the row's answer", () =>
    withFolder(async (folder) => {
      const seen: Parameters<Judge["score"]>[0][] = [];
      const judge: Judge = {
        name: "seen",
        score: async (items) => {
          seen.push(items);
          return items.map(() => ({ score: null, reason: "not mine" }));
        },
      };
      const { written, summary } = await run(join(folder, "rollouts.jsonl"), { judge, batchSize: 1000 });
      const expected = [...written.flatMap((row) => made(row).map((one) => [row, one] as const))];
      expect(seen.flat().slice(0, expected.length)).toEqual(
        expected.map(([{ prompt, answer, steps, origin }, { from, text }]) => ({
          prompt: [{ role: "user", content: prompt }],
          response: steps.slice(0, from).join("") + text,
          reference: answer,
          where: `rows.jsonl:${origin.line}`,
        })),
      );
      expect(summary).toMatchObject({ meanScore: null, abstained: seen.flat().length });
    }));

  test("with labels that are not one a step is left out and counted", () =>
    withFolder(async (folder) => {
      const problems = new Problems();
      const generator = tinyGenerator(model);
      const sources = rows(2).map((row, index) => ({ ...row, labels: [1, 0, index].slice(0, 3) }));
      const tasks = planResponses(sources, generator, {}, problems);
      expect(tasks.map(({ row }) => row.labels)).toEqual([[1, 0, 0]]);
      expect(problems.summary()).toMatch(/1 row left out: the number of labels differs/);
      await runRollouts(tasks, {
        out: join(folder, "rollouts.jsonl"),
        generator,
        judge: textJudge(),
        judgeContent: "text",
      });
    }));

  test("that fills the model's context is left out with its place", () => {
    const problems = new Problems({ maxBadShare: 1 });
    const [row] = rows(1);
    const long = { ...row, response: "It is so. ".repeat(200) } as RolloutSource;
    expect(planResponses([long], tinyGenerator(model), {}, problems)).toEqual([]);
    expect(problems.summary()).toMatch(/too-long.*rows\.jsonl:1: its \d+ tokens leave no room/s);
  });
});

test("a prompt beyond maxPromptTokens is cut as training cuts it, and is answered", async () => {
  const prompt = `${"How many are these all together? ".repeat(200)}Now?`;
  const { tokenizer, template } = model;
  const source = { ...rows(1)[0], prompt, response: undefined } as RolloutSource;
  const problems = new Problems({ maxBadShare: 1 });
  expect(planResponses([source], tinyGenerator(model), {}, problems)).toEqual([]);
  const generator = tinyGenerator(model, { maxPromptTokens: 24 });
  const [task] = planResponses([source], generator, { samples: 1 });
  const wanted = encodePrompt(prompt, { tokenizer, template, maxPromptTokens: 24 });
  expect(task?.made[0]?.request.row.promptIds).toEqual(wanted);
  expect(wanted.length).toBeLessThanOrEqual(24);
  expect(tokenizer.decode(wanted)).toMatch(
    /^<\|im_start\|>user\n.*Now\?<\|im_end\|>\n<\|im_start\|>assistant\n$/s,
  );
  expect(await generator.run(task?.made.map(({ request }) => request) ?? [])).toHaveLength(1);
  // A file of rollouts without the cut is another file; without the setting its keys stay what they were.
  expect(generator.content).not.toEqual(tinyGenerator(model).content);
  expect(canonicalJson(tinyGenerator(model).content)).not.toContain("maxPromptTokens");
});

describe("answers", () => {
  test("are, token for token, those of every prefix read from scratch", () =>
    withFolder(async (folder) => {
      const shared = await run(join(folder, "shared.jsonl"));
      const plain = await run(join(folder, "plain.jsonl"), {
        generator: tinyGenerator(model, { sharePrefixes: false, batchSize: 1, decoder: uncachedDecoder }),
      });
      expect(readFileSync(join(folder, "shared.jsonl"))).toEqual(readFileSync(join(folder, "plain.jsonl")));
      expect(shared.summary.rollouts).toBe(plain.summary.rollouts);
      // And without any of this file's code: prompt and prefix as one prompt, alone.
      const generator = tinyGenerator(model);
      const tasks = planResponses(rows(3), generator, { samples: 3 });
      const samples = tasks.flatMap((task) => task.made);
      const answers = await generator.run(samples.map(({ request }) => request));
      for (const [index, { request, from }] of samples.entries()) {
        const prefix = request.row.steps.slice(0, from).flatMap(({ ids }) => ids);
        const prompt = { ids: [...request.row.promptIds, ...prefix], seed: request.seed };
        const [alone] = await generateAll(model, [
          { ...prompt, sampling: { temperature: 1 }, maxNewTokens: 12 },
        ]);
        const ids = alone?.finish === "end" ? alone.ids.slice(0, -1) : (alone?.ids ?? []);
        const whole = model.tokenizer.decode([...prefix, ...ids], { skipSpecial: true });
        expect(answers[index]?.text).toBe(whole.slice(model.tokenizer.decode(prefix).length));
        expect(answers[index]).toMatchObject({ finish: alone?.finish, tokens: alone?.ids.length });
        expect(answers[index]?.steps).toBe(Math.ceil((prefix.length + ids.length) / 5));
      }
    }));

  test("of a prefix differ from each other, and neither order nor company of rows changes them", () =>
    withFolder(async (folder) => {
      const { written } = await run(join(folder, "all.jsonl"));
      for (const row of written) {
        const texts = made(row).map(({ from, text }) => `${from} ${text}`);
        expect(new Set(texts).size).toBe(texts.length);
      }
      const reversed = await run(join(folder, "reversed.jsonl"), {
        sources: rows(3).reverse(),
        batchSize: 1,
      });
      expect(reversed.written.toReversed()).toEqual(written);
    }));

  test("of another seed are others", () =>
    withFolder(async (folder) => {
      const one = await run(join(folder, "one.jsonl"), { seed: 1 });
      const two = await run(join(folder, "two.jsonl"), { seed: 2 });
      expect(one.written.map(made)).not.toEqual(two.written.map(made));
    }));
});

describe("a file", () => {
  test("that was cut at any byte is gone on with to the same bytes", () =>
    withFolder(async (folder) => {
      const whole = join(folder, "whole.jsonl");
      const judge = textJudge();
      await run(whole, { sources: rows(5), judge });
      const bytes = readFileSync(whole);
      const all = judge.asked;
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 0, max: bytes.length }), async (length) => {
          const part = join(folder, "part.jsonl");
          writeFileSync(part, bytes.subarray(0, length));
          const again = textJudge();
          const { summary } = await run(part, { sources: rows(5), judge: again });
          expect(readFileSync(part).equals(bytes)).toBe(true);
          // What was whole is not made again; a batch here is one row, or two.
          const lines = bytes.subarray(0, length).filter((byte) => byte === 0x0a).length;
          expect(summary.kept).toBeGreaterThanOrEqual(lines - 1);
          expect(summary.kept).toBeLessThanOrEqual(lines);
          expect(again.asked === 0).toBe(length === bytes.length);
          expect(again.asked).toBeLessThanOrEqual(all);
        }),
        { numRuns: 12, examples: [[bytes.length], [bytes.length - 1], [0]] },
      );
    }));

  test("that grew by rows at the end is gone on with", () =>
    withFolder(async (folder) => {
      const out = join(folder, "rollouts.jsonl");
      await run(out, { sources: rows(2), batchSize: 1 });
      const { summary } = await run(out, { sources: rows(3), batchSize: 1 });
      expect(summary).toMatchObject({ rows: 3, kept: 2 });
      await run(join(folder, "at-once.jsonl"), { sources: rows(3), batchSize: 1 });
      expect(readFileSync(out)).toEqual(readFileSync(join(folder, "at-once.jsonl")));
    }));

  test.each<[string, Given]>([
    ["another seed", { seed: 9 }],
    ["another number of answers", { samples: 2 }],
    ["another judge", { judgeContent: "other" }],
    ["other rows", { sources: rows(3).reverse() }],
    ["fewer rows", { sources: rows(2) }],
  ])("of %s is refused and left as it was", async (_what, given) =>
    withFolder(async (folder) => {
      const out = join(folder, "rollouts.jsonl");
      await run(out);
      const before = readFileSync(out);
      await expect(run(out, given)).rejects.toMatchObject({ code: "E_ROLLOUT_OTHER" });
      expect(readFileSync(out)).toEqual(before);
    }),
  );

  test("of another model or sampling is refused", () =>
    withFolder(async (folder) => {
      const out = join(folder, "rollouts.jsonl");
      await run(out);
      for (const other of [{ weights: "other" }, { sampling: { temperature: 0.5 } }, { maxNewTokens: 3 }]) {
        const generator = tinyGenerator(model, other);
        await expect(run(out, { generator })).rejects.toMatchObject({ code: "E_ROLLOUT_OTHER" });
      }
    }));

  test("of something else is refused by line", () =>
    withFolder(async (folder) => {
      const out = join(folder, "rollouts.jsonl");
      writeFileSync(out, '{"prompt": "What?"}\n');
      await expect(run(out)).rejects.toThrow(/rollouts\.jsonl:1: .*key/);
    }));
});

test("a run that is killed loses no more than a batch, and its successor makes the file of one that was not", () =>
  withFolder(async (folder) => {
    const count = 60;
    const out = join(folder, "killed.jsonl");
    const program = fileURLToPath(new URL("testing/roll-out-until-killed.ts", import.meta.url));
    const child = spawn(process.execPath, ["--import", "tsx", program, out, String(count)], {
      stdio: "ignore",
    });
    const ended = new Promise((resolve) => child.once("exit", (_code, signal) => resolve(signal)));
    const lines = (): number =>
      existsSync(out) ? readFileSync(out).filter((byte) => byte === 0x0a).length : 0;
    while (lines() < 5 && child.exitCode === null) await wait(5);
    child.kill("SIGKILL");
    expect(await ended).toBe("SIGKILL");
    const kept = lines();
    expect(kept).toBeLessThan(count);
    const generator = tinyGenerator(model);
    const { summary } = await run(out, { sources: rows(count), generator });
    // A batch has one row or two here.
    expect(summary.kept).toBeGreaterThanOrEqual(kept - 1);
    await rollTiny(join(folder, "whole.jsonl"), count);
    expect(readFileSync(out).equals(readFileSync(join(folder, "whole.jsonl")))).toBe(true);
  }));

test("an abort ends between two tokens, and the file goes on from its last batch", () =>
  withFolder(async (folder) => {
    const out = join(folder, "rollouts.jsonl");
    const controller = new AbortController();
    const judge = textJudge();
    const stopping: Judge = {
      name: "text",
      score: (items) => {
        controller.abort();
        return judge.score(items);
      },
    };
    await expect(
      run(out, { judge: stopping, signal: controller.signal, batchSize: 1 }),
    ).rejects.toMatchObject({
      code: "E_INTERRUPTED",
    });
    const { summary } = await run(out, { batchSize: 1 });
    expect(summary.kept).toBe(1);
  }));

test("settings that cannot be are refused", async () => {
  expect(() => planResponses(rows(1), tinyGenerator(model), { samples: -1 })).toThrow(/samples: -1/);
  await expect(run("never-written.jsonl", { batchSize: 0 })).rejects.toThrow(/batchSize: 0/);
});
