/** Real rows through the real tokenizer and template: what training gets is exactly what the template writes. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheFolder } from "@mahalo/torch";
import { expect, test } from "vitest";
import { inspectRows, renderRows } from "../../packages/mahalo/src/data/inspect.ts";
import { loadPreferences, locateRows, type RowSource } from "../../packages/mahalo/src/data/rows/load.ts";
import { promptMessages } from "../../packages/mahalo/src/data/rows/rows.ts";
import { limitRows, splitRows } from "../../packages/mahalo/src/data/rows/split.ts";
import { encodePairs, encodePrompt } from "../../packages/mahalo/src/data/tokens/encode.ts";
import { packRows } from "../../packages/mahalo/src/data/tokens/packing.ts";
import { openModelSource } from "../../packages/mahalo/src/model/folder/source.ts";

const mirror = process.env.MAHALO_MIRROR ?? fileURLToPath(new URL("../../../shared/hub", import.meta.url));
const packaged = join(cacheFolder(), "models", "smollm2-135m-instruct");
const missing = [mirror, packaged].filter((path) => !existsSync(path));
if (missing.length > 0) console.warn(`${missing.join(", ")} not there: real rows are not encoded`);

const sources: Record<string, RowSource> = {
  helpful: { hub: "openbmb/UltraFeedback", file: "binarized-1000.jsonl" },
  harmless: { hub: "Anthropic/hh-rlhf", file: "harmless-base/test.jsonl.gz", format: "transcript-pair" },
  accuracy: {
    hub: "openai/grade-school-math",
    file: "example_model_solutions.jsonl",
    format: "correct-pair",
  },
  tutoring: { hub: "pearls-lab/multiobj-align", file: "sm_acc.json", format: "tutoring-pair" },
};

test.skipIf(missing.length > 0 && process.env.CI !== "true")("real pairs of four objectives", async () => {
  const { tokenizer, template } = await openModelSource("smollm2-135m-instruct");
  const options = { tokenizer, template, maxPromptTokens: 4096, maxTokens: 8192 };
  for (const [objective, source] of Object.entries(sources)) {
    const file = await locateRows(source, { environment: { ...process.env, MAHALO_MIRROR: mirror } });
    const { train } = splitRows(await loadPreferences(file, objective), { seed: 0, heldOut: 0.1 });
    const rows = limitRows(train, 12, 0);
    const { rows: pairs, cutPrompts, cutResponses } = encodePairs(rows, options);
    expect([pairs.length, cutPrompts, cutResponses]).toEqual([12, 0, 0]);
    for (const [index, pair] of pairs.entries()) {
      const row = rows[index];
      if (row === undefined) throw new Error("a pair has no row");
      const messages = promptMessages(row.prompt);
      for (const side of ["chosen", "rejected"] as const) {
        const whole = template.render([...messages, { role: "assistant", content: row[side] }]);
        expect(`${tokenizer.decode([...pair.prompt, ...pair[side]])}\n`).toBe(whole);
        expect(tokenizer.decode(pair[side])).toBe(`${row[side]}<|im_end|>`);
        expect(pair[side].indexOf(tokenizer.eosIds[0] ?? -1)).toBe(pair[side].length - 1);
      }
      expect(encodePrompt(row.prompt, options)).toEqual(pair.prompt);
    }
    const packs = packRows(
      pairs.map(({ prompt, chosen, rejected }) => ({ prompt, completions: [chosen, rejected] })),
      2048,
    );
    expect(packs.flatMap(({ members }) => members)).toHaveLength(12);
    expect(renderRows(inspectRows(pairs, tokenizer))).toContain(`${objective}  ${file.name}:`);
  }
});
