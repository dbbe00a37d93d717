/** Training that cannot fit into memory is refused before it begins, with settings that would. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tinyFolder } from "../model/testing/tiny.ts";
import { openCosts } from "./costs.ts";
import { parseRecipe } from "./load.ts";
import { checkMemory } from "./memory.ts";
import { runRecipe } from "./run.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-memory-"));
});
afterAll(() => rm(folder, { recursive: true }));

const recipe = (set: readonly string[] = []) =>
  parseRecipe(
    `name: lean
model: ${tinyFolder("tiny-llama")}
out: ${folder}
objectives: { accuracy: { generator: { name: word-problems, problems: 40, heldOut: 8 } } }
data: { maxHeldOut: 4 }
sft: { maxSteps: 1, batchSize: 32, precision: f32 }
align: { maxSteps: 1, precision: f32 }
evaluate: { pairAccuracy: false }
`,
    "recipe.yaml",
    { set },
  );
const bytesOf = async (set: readonly string[] = []): Promise<number> => {
  const given = recipe(set);
  return (await openCosts(given)).costOf("sft", given)?.bytes ?? Number.NaN;
};
const refusal = async (run: () => Promise<unknown>): Promise<MahaloError> => {
  const error = await run().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof MahaloError) return error;
  throw new Error("nothing was refused");
};

test("a stage that needs more than there is is refused once rows are counted, with a setting that fits", async () => {
  await runRecipe(recipe(), { until: "data", memory: { total: 1, available: 1 } });
  const total = (await bytesOf()) - 1e6;
  const memory = { total, available: total };
  const { code, message, hint, exitStatus } = await refusal(() => runRecipe(recipe(), { memory }));
  expect({ code, exitStatus }).toEqual({ code: "E_RUN_MEMORY", exitStatus: 2 });
  expect(message).toMatch(/^sft: needs about \d+ MB of memory, but only \d+ MB is available$/);
  const [, set = ""] = /this would fit: --set (sft\.maxTokensPerMicrobatch=\d+);/.exec(hint ?? "") ?? [];
  expect(await bytesOf([set])).toBeLessThanOrEqual(total);
  await checkMemory(recipe([set, "align=false"]), memory);
  // What is not run is not checked, and a user may know better.
  await checkMemory(recipe(["sft=false"]), memory, { until: "data" });
  const { stages } = await runRecipe(recipe(), { memory, until: "sft", ignoreMemory: true });
  expect(stages.map(({ did }) => did)).toEqual(["kept", "ran"]);
  const tiny = await refusal(() => checkMemory(recipe(["sft.epochs=2"]), { total: 1e6, available: 1e6 }));
  expect(tiny.hint).toContain("use a smaller model");
});
