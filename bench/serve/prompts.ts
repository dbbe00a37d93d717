/** Questions for the serving bench: the quickstart's word problems, so that nothing has to be fetched. */
import { generateRows } from "../../packages/mahalo/src/data/generators/registry.ts";
import { promptMessages } from "../../packages/mahalo/src/data/rows/rows.ts";

/** That many questions, the same in every run. */
export const generateWordProblems = (questions: number): string[] => {
  const options = { problems: questions, heldOut: 0 };
  const { train } = generateRows("word-problems", options, 0, "bench/serve");
  const texts = train.map(({ prompt }) =>
    promptMessages(prompt)
      .map(({ content }) => content)
      .join("\n"),
  );
  return [...new Set(texts)].slice(0, questions);
};
