/** The quickstart's generator: short word problems with their answers, and preference pairs for two objectives. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { need } from "../../core/need.ts";
import { type Random, rng } from "../../core/random.ts";
import type { PreferenceRow } from "../rows/rows.ts";
import type { Generated, GeneratedProblem, GeneratedRow, Generator } from "./types.ts";
import { asked, type Step, step, told, toldAndInvited, toldWrong } from "./word-problem-replies.ts";
import {
  baked,
  containers,
  type Family,
  foods,
  people,
  places,
  type Template,
  templates,
  things,
} from "./word-problem-templates.ts";

const share = z.number().min(0).max(1);

/** Options of the word-problem generator. */
export const wordProblemOptions = z.strictObject({
  problems: z.int().min(1).default(600).describe("Problems to train on; each gives one pair per objective."),
  heldOut: z.int().min(0).default(120).describe("Held-out problems, with other numbers or other templates."),
  largest: z.int().min(10).max(999).default(50).describe("Largest number in a sum or difference."),
  largestFactor: z.int().min(2).max(20).default(6).describe("Largest factor in a product."),
  twoStep: share.default(0.2).describe("Share of problems that need two steps."),
  multiply: share.default(0.25).describe("Share of one-step problems that are products."),
  withhold: share
    .default(0.4)
    .describe(
      "Share of accuracy pairs whose rejected reply asks for the answer instead of giving a wrong one.",
    ),
  ask: share
    .default(0.6)
    .describe("Share of engagement pairs whose chosen reply asks for the answer instead of giving it."),
});

/** Options of {@link wordProblems}, defaults filled in. */
export type WordProblemOptions = z.output<typeof wordProblemOptions>;

/** One word problem. */
export type WordProblem = {
  text: string;
  template: string;
  numbers: number[];
  steps: Step[];
  answer: string;
};

const between = (random: Random, low: number, high: number): number => low + random.integer(high - low + 1);

const twoStepFamilies: readonly Family[] = [
  "add-add",
  "add-subtract",
  "subtract-add",
  "multiply-add",
  "multiply-subtract",
];

const drawFamily = (random: Random, options: WordProblemOptions): Family => {
  if (random.next() < options.twoStep) {
    return random.pick(twoStepFamilies);
  }
  return random.next() < options.multiply ? "multiply" : random.pick(["add", "subtract"]);
};

/** The steps of one problem of a family; every number and result lies between 1 and the limits. */
const drawSteps = (
  family: Family,
  random: Random,
  { largest, largestFactor }: WordProblemOptions,
): Step[] => {
  const [first, second] = family.split("-");
  const firstStep = (limit: number): Step => {
    if (first === "multiply") {
      return step(between(random, 2, largestFactor), "*", between(random, 2, largestFactor));
    }
    if (first === "subtract") {
      const left = between(random, 3, limit);
      return step(left, "-", between(random, 2, left - 1));
    }
    const sum = between(random, 4, limit);
    const left = between(random, 2, sum - 2);
    return step(left, "+", sum - left);
  };
  if (second === undefined) {
    return [firstStep(largest)];
  }
  if (second === "subtract") {
    const first = firstStep(largest);
    return [first, step(first.result, "-", between(random, 2, Math.max(2, first.result - 1)))];
  }
  const opening = firstStep(largest - 2);
  return [opening, step(opening.result, "+", between(random, 2, Math.max(2, largest - opening.result)))];
};

/** The numbers a, b, c that a template shows. */
const shownNumbers = (steps: readonly Step[]): number[] => [
  ...steps.slice(0, 1).flatMap(({ left, right }) => [left, right]),
  ...steps.slice(1).map(({ right }) => right),
];

const fill = (template: Template, numbers: readonly number[], random: Random): string => {
  const [first, second] = random.shuffle([...people]);
  const [box, boxes] = random.pick(containers);
  const slots: Record<string, string | undefined> = {
    a: String(numbers[0]),
    b: String(numbers[1]),
    c: String(numbers[2]),
    A: first?.name,
    B: second?.name,
    he: first?.he,
    He: first && first.he[0]?.toUpperCase() + first.he.slice(1),
    his: first?.his,
    him: first?.him,
    things: random.pick(things),
    food: random.pick(foods),
    baked: random.pick(baked),
    place: random.pick(places),
    box,
    boxes,
  };
  return template.text
    .replaceAll(/\[([^\]]+)\]/g, (_, alternatives: string) => random.pick(alternatives.split("|")))
    .replaceAll(/\{(\w+)\}/g, (_, slot: string) => need(slots[slot], `the template's ${slot}`));
};

/**
 * Whether a (template, numbers) combination belongs to the held-out side. One combination in eight does, by a hash
 * of its key alone: no seed and no option ever moves a combination from one side to the other.
 */
export const isHeldOut = (key: string): boolean => {
  let hash = 0x811c9dc5;
  for (const character of key) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 12)) >>> 0) % 8 === 0;
};

/** Draws without a new combination after which a recipe is taken to ask for more problems than there are. */
const patience = 5000;

const ofFamily = (family: Family): Template[] => templates.filter((template) => template.family === family);

const drawProblems = (
  count: number,
  heldOut: boolean,
  random: Random,
  options: WordProblemOptions,
): WordProblem[] => {
  const problems: WordProblem[] = [];
  const seen = new Set<string>();
  for (let misses = 0; problems.length < count; misses++) {
    if (misses >= patience) {
      throw new MahaloError(
        "E_GENERATOR_EXHAUSTED",
        `generator word-problems: found only ${problems.length} of ${count} ${heldOut ? "held-out " : ""}problems`,
        { hint: "raise generator.largest or generator.largestFactor, or ask for fewer problems" },
      );
    }
    const family = drawFamily(random, options);
    const template = random.pick(ofFamily(family));
    const steps = drawSteps(family, random, options);
    const numbers = shownNumbers(steps);
    const key = `${template.id}:${numbers.join(",")}`;
    if (seen.has(key) || isHeldOut(key) !== heldOut || steps.some(({ result }) => result < 1)) {
      continue;
    }
    seen.add(key);
    misses = 0;
    const answer = String(steps.at(-1)?.result);
    problems.push({ text: fill(template, numbers, random), template: template.id, numbers, steps, answer });
  }
  return problems;
};

/**
 * The problems on both sides of the split.
 *
 * @throws MahaloError E_GENERATOR_EXHAUSTED where the options allow too few different problems
 */
export const wordProblemSets = (
  options: WordProblemOptions,
  seed: number,
): { train: WordProblem[]; heldOut: WordProblem[] } => ({
  train: drawProblems(options.problems, false, rng(seed, "word-problems", "train"), options),
  heldOut: drawProblems(options.heldOut, true, rng(seed, "word-problems", "held-out"), options),
});

const pairs = ({ steps }: WordProblem, random: Random, options: WordProblemOptions) => [
  {
    objective: "accuracy",
    chosen: told(steps),
    rejected: random.next() < options.withhold ? asked(steps, random) : toldWrong(steps, random),
  },
  {
    objective: "engagement",
    chosen: random.next() < options.ask ? asked(steps, random) : toldAndInvited(steps, random),
    rejected: told(steps),
  },
];

const origin = (side: string, index: number): PreferenceRow["origin"] => ({
  file: `generator:word-problems/${side}`,
  line: index + 1,
});

const toRows = (
  problems: readonly WordProblem[],
  side: string,
  random: Random,
  options: WordProblemOptions,
) =>
  problems.flatMap((problem, index): GeneratedRow[] =>
    pairs(problem, random, options).map((pair) => ({
      ...pair,
      prompt: [{ role: "user", content: problem.text }],
      answer: problem.answer,
      origin: origin(side, index),
    })),
  );

/**
 * Short one- and two-step word problems with preference pairs for `accuracy` and `engagement`.
 *
 * The data are synthetic: templates, names, things and numbers are drawn at random, and the replies come from phrase
 * lists. They exist to show on a small model, in minutes, that heads part ways and that a mix steers; they say
 * nothing about teaching.
 *
 * The two objectives pull apart on purpose, as telling and asking do for a tutor:
 * - `accuracy` prefers the direct worked answer ("12 + 7 = 19", blank line, "The answer is 19."). Rejected is a wrong
 *   worked answer in the same style (wrong operation, a slip, a dropped step) or, in a share `withhold` of the pairs,
 *   a reply that asks the student and so states no answer that could be verified.
 * - `engagement` prefers a reply that invites the student on: in a share `ask` of the pairs a hint and a question
 *   that leaves the computing to the student, else the worked answer followed by an invitation. Rejected is the same
 *   worked answer without it.
 *
 * Fine-tuning on the chosen replies of both thus starts from a mixture of styles (half direct, half inviting).
 *
 * Every problem gives one pair an objective. Held-out problems share no (template, numbers) combination with training
 * problems, whatever the seeds: see {@link isHeldOut}. Names and wordings are shared.
 *
 * @throws MahaloError E_GENERATOR_EXHAUSTED where the options allow too few different problems
 */
export const generateWordProblems = (options: WordProblemOptions, seed: number): Generated => {
  const { train, heldOut } = wordProblemSets(options, seed);
  return {
    train: toRows(train, "train", rng(seed, "word-problems", "train", "replies"), options),
    heldOut: toRows(heldOut, "held-out", rng(seed, "word-problems", "held-out", "replies"), options),
    problems: heldOut.map(
      ({ text, answer }, index): GeneratedProblem => ({
        prompt: [{ role: "user", content: text }],
        answer,
        origin: origin("held-out", index),
      }),
    ),
  };
};

/** The generator `word-problems`; see {@link generateWordProblems}. */
export const wordProblems: Generator<WordProblemOptions> = {
  name: "word-problems",
  objectives: ["accuracy", "engagement"],
  options: wordProblemOptions,
  generate: generateWordProblems,
};
