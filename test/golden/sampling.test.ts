/** Our sampling filters against transformers' at their edges: ties, flat and peaked logits, shares met to the letter. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import { LogitChanges } from "../../packages/mahalo/src/decode/logit-changes.ts";
import { samplingOf, samplingSchema, tokenDistribution } from "../../packages/mahalo/src/decode/sampling.ts";
import { goldenFolder } from "../../packages/mahalo/src/model/testing/tiny.ts";

const schema = z.strictObject({
  logits: z.record(z.string(), z.array(z.number())),
  cases: z.array(
    z.strictObject({
      logits: z.string(),
      used: z.array(z.int()),
      settings: samplingSchema,
      kept: z.array(z.int()),
      probabilities: z.array(z.number()),
    }),
  ),
});
const path = join(goldenFolder, "sampling.json");
const golden = parseJson(readFileSync(path, "utf8"), schema, path);

test.each(golden.cases.map((one) => [one.logits, JSON.stringify(one.settings), one] as const))(
  "%s under %s",
  (name, _settings, { used, settings, kept, probabilities }) => {
    const values = golden.logits[name] ?? [];
    const sampling = samplingOf(settings);
    const changes = new LogitChanges(sampling, { prompt: used });
    const { ids, weights } = tokenDistribution(Float32Array.from(values), sampling, changes);
    // Which of equals is left out says neither of us: what counts is the logits that are kept, and their probabilities.
    const pairs = (tokens: readonly number[], shares: readonly number[]) =>
      tokens
        .map((id, at) => ({ logit: values[id] ?? Number.NaN, share: shares[at] ?? Number.NaN }))
        .sort((a, b) => a.logit - b.logit || a.share - b.share);
    const [ours, theirs] = [pairs([...ids], [...weights]), pairs(kept, probabilities)];
    expect(ours.map(({ logit }) => logit)).toEqual(theirs.map(({ logit }) => logit));
    for (const [at, { share }] of theirs.entries()) expect(ours[at]?.share).toBeCloseTo(share, 6);
  },
);
