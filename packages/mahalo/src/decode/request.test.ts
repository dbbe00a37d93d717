/** The state of an answer: which weights read each of its tokens, asked then and later. */
import { expect, test } from "vitest";
import { rng } from "../core/random.ts";
import { adaptedModel } from "../model/testing/adapted.ts";
import { Sequence } from "./request.ts";

test("which mix read a token can be told later, by token and by step, of copies too", async () => {
  const model = await adaptedModel("tiny-llama");
  const [line = 0, word = 0] = ["\n", "a"].map((text) => model.tokenizer.encode(text)[0]);
  const phases = {
    token: [{ mix: { accuracy: 1 } }, { from: { token: 2 }, mix: { engagement: 1 } }],
    step: [
      { mix: { accuracy: 1 } },
      { from: { step: 1 }, mix: { engagement: 1 } },
      { from: { step: 2 }, mix: { accuracy: 1, engagement: 1 } },
    ],
  };
  for (const mix of Object.values(phases)) {
    const answer = new Sequence(model, { ids: [5, 6, 7], mix, step: "line", maxNewTokens: 20 });
    const then = [answer.mix];
    for (const id of [word, line, word, word, line, word]) {
      answer.accept(id);
      expect(answer.adapterMix).toEqual(answer.mix);
      then.push(answer.mix);
    }
    expect([answer.steps, answer.length, new Set(then.map((mix) => JSON.stringify(mix))).size]).toEqual([
      2,
      9,
      mix.length,
    ]);
    const copy = answer.fork(rng(1, "copy"));
    for (const one of [answer, copy]) expect(then.map((_, tokens) => one.adapterMixAt(tokens))).toEqual(then);
  }
  model.dispose();
});
