/** The tiny form of the study: recipes over a model of a few thousand weights, for a run of seconds that shows it works. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeFileAtomic } from "../../packages/mahalo/src/core/files.ts";
import type { Domain } from "./plan.ts";

const model = fileURLToPath(new URL("../../test/golden/data/models/tiny-llama", import.meta.url));

const rows = (objective: string, chosen: string, rejected: string): string =>
  Array.from(
    { length: 10 },
    (_, index) =>
      `${JSON.stringify({ objective, prompt: `${index} and 1?`, chosen: `${chosen} ${index}.`, rejected: `${rejected} ${index}.` })}\n`,
  ).join("");

/** One domain has an objective without a judge, so that the study trains one. */
const judged = (name: string): string => (name === "values" ? "" : ", judge: { kind: rule, maxWords: 2 }");

const recipe = (name: string): string => `# The tiny form of the study: what it finds means nothing.
name: ${name}
model: ${JSON.stringify(model)}
objectives:
  kind: { description: The reply is kind., pairs: { path: pairs.jsonl }, judge: { kind: rule, pattern: "e" } }
  brief: { description: The reply is brief., pairs: { path: pairs.jsonl }${judged(name)} }
data: { maxPromptTokens: 64, maxTokens: 96, heldOut: 0.3 }
sft: { maxSteps: 1, batchSize: 4, precision: f32 }
reward: { maxSteps: 1, batchSize: 4, precision: f32, train: frozen }
align: { maxSteps: 2, batchSize: 4, precision: f32, learningRate: 1e-3 }
evaluate: { mixes: 3, prompts: 3, maxNewTokens: 6 }
guide:
  prompts: 2
  policies: [sft, aligned]
  maxNewTokens: 6
  weights: [{ kind: 1, brief: 1 }]
  search: { candidates: 2, step: line, maxStepTokens: 3 }
`;

/** Writes the tiny recipes of domains into a folder. */
export const tinyDomains = async (names: readonly string[], folder: string): Promise<Domain[]> => {
  const path = join(folder, "tiny");
  await writeFileAtomic(
    join(path, "pairs.jsonl"),
    rows("kind", "Yes, dear", "No") + rows("brief", "Yes", "Well then, let me think about it"),
  );
  return Promise.all(
    names.map(async (name) => {
      const file = join(path, `${name}.yaml`);
      await writeFileAtomic(file, recipe(name));
      return { name, file, set: [] };
    }),
  );
};
