/** The replies of the word-problem generator: worked answers, plausible mistakes, hints that ask, and invitations. */
import { element, lastOf } from "../../core/need.ts";
import type { Random } from "../../core/random.ts";

/** One step of arithmetic: `left operator right = result`. */
export type Step = { left: number; operator: "+" | "-" | "*"; right: number; result: number };

/** The value of `left operator right`. */
export const compute = (left: number, operator: Step["operator"], right: number): number =>
  operator === "+" ? left + right : operator === "-" ? left - right : left * right;

/** A step with its right result. */
export const step = (left: number, operator: Step["operator"], right: number): Step => ({
  left,
  operator,
  right,
  result: compute(left, operator, right),
});

const expression = ({ left, operator, right }: Step): string => `${left} ${operator} ${right}`;

/**
 * The direct style: each step on a line of its own, steps divided by a blank line, then the answer.
 *
 * @example told([step(12, "+", 7)]) // "12 + 7 = 19\n\nThe answer is 19."
 */
export const told = (steps: readonly Step[]): string => {
  const answer = lastOf(steps, "step").result;
  return [...steps.map((step) => `${expression(step)} = ${step.result}`), `The answer is ${answer}.`].join(
    "\n\n",
  );
};

/** The ways in which a wrong worked answer goes wrong. */
export type Mistake = "operation" | "slip" | "dropped-step";

const otherOperators: Record<Step["operator"], readonly Step["operator"][]> = {
  "+": ["-", "*"],
  "-": ["+"],
  "*": ["+", "-"],
};

/** The steps again from `index` on, with `replacement` there and its result carried into the later steps. */
const carried = (steps: readonly Step[], index: number, replacement: Step): Step[] => {
  let result = replacement.result;
  const later = steps.slice(index + 1).map((old) => {
    const next = step(result, old.operator, old.right);
    result = next.result;
    return next;
  });
  return [...steps.slice(0, index), replacement, ...later];
};

const mistaken = (steps: readonly Step[], mistake: Mistake, random: Random): Step[] => {
  if (mistake === "dropped-step") {
    return steps.slice(0, -1);
  }
  const index = random.integer(steps.length);
  const changed = element(steps, index, "step");
  if (mistake === "operation") {
    return carried(
      steps,
      index,
      step(changed.left, random.pick(otherOperators[changed.operator]), changed.right),
    );
  }
  const slip = random.pick([-10, -3, -2, -1, 1, 2, 3, 10]);
  return carried(steps, index, { ...changed, result: changed.result + slip });
};

/**
 * A wrong worked answer in the direct style: the wrong operation, a result that is off by a little or by ten, or a
 * step left out. No number in it is negative, and its answer always differs from the right one.
 */
export const toldWrong = (steps: readonly Step[], random: Random): string => {
  const last = lastOf(steps, "step");
  const kinds: readonly Mistake[] =
    steps.length > 1 ? ["operation", "slip", "dropped-step"] : ["operation", "slip", "slip"];
  for (let attempt = 0; attempt < 64; attempt++) {
    const wrong = mistaken(steps, random.pick(kinds), random);
    const answer = lastOf(wrong, "step").result;
    if (answer !== last.result && wrong.every(({ result }) => result >= 0)) {
      return told(wrong);
    }
  }
  return told([...steps.slice(0, -1), { ...last, result: last.result + 1 }]);
};

const openers = [
  "Let's think about it together.",
  "Good question to puzzle over!",
  "You can do this one.",
  "Let's take it one step at a time.",
  "Picture the story first.",
  "Let's look at the numbers.",
  "This is a nice one.",
  "Here is a hint for you.",
];

const hints: Record<Step["operator"], readonly string[]> = {
  "+": [
    "The two amounts come together, so we add.",
    "We are looking for a total, so adding helps.",
    "Each part counts towards the whole, so this is a sum.",
    "The number grows here, which tells us to add.",
    "Putting both parts together means adding.",
  ],
  "-": [
    "One number is taken from the other, so we subtract.",
    "The answer is smaller than the first number, so subtracting helps.",
    "The question is about a difference, so we take one number from the other.",
    "The smaller number comes off the bigger one, which tells us to subtract.",
    "Finding how much is between the two numbers means subtracting.",
  ],
  "*": [
    "There are equal groups, so we multiply.",
    "The same amount comes up again and again, so multiplying helps.",
    "Each group has the same size, which tells us to multiply.",
    "This is one number taken several times, so it is a product.",
    "Counting groups of the same size means multiplying.",
  ],
};

const asks = [
  (sum: string) => `What is ${sum}?`,
  (sum: string) => `What do you get for ${sum}?`,
  (sum: string) => `Can you work out ${sum}?`,
  (sum: string) => `Now it is your turn: what is ${sum}?`,
  (sum: string) => `How much is ${sum}, do you think?`,
  (sum: string) => `Would you like to try ${sum}?`,
  (sum: string) => `What number do you find for ${sum}?`,
  (sum: string) => `Try ${sum} yourself. What do you get?`,
];

const firstStepAsks = [
  (sum: string) => `What is ${sum}, and what would you do next?`,
  (sum: string) => `Start with ${sum}. What do you get, and what comes next?`,
  (sum: string) => `Can you work out ${sum} first?`,
  (sum: string) => `What do you get for ${sum}, the first step?`,
];

/**
 * A tutor's reply that hints at the operation and asks the student to compute: it does not say the answer.
 *
 * @example asked([step(12, "+", 7)], random) // "We are looking for a total, so adding helps.\n\nWhat is 12 + 7?"
 */
export const asked = (steps: readonly Step[], random: Random): string => {
  const first = element(steps, 0, "step");
  const hint = random.pick(hints[first.operator]);
  const opening = random.next() < 0.5 ? `${random.pick(openers)} ${hint}` : hint;
  const ask = random.pick(steps.length > 1 ? firstStepAsks : asks)(expression(first));
  return `${opening}\n\n${ask}`;
};

const invitations = [
  "Can you check it another way?",
  "Do you see why?",
  "How would you explain this to a friend?",
  "Would you like to try a harder one?",
  "Can you make up a story like this one?",
  "Which step did you find the hardest?",
  "How did you solve it yourself?",
  "Did you get the same?",
  "What would change if one of the numbers were doubled?",
  "Can you draw a picture that shows it?",
  "Shall we try the next one together?",
  "Does this make sense to you?",
  "What would you try if the numbers were bigger?",
  "Ready for another one? Tell me what you would like to practise.",
];

/**
 * The direct answer followed by a question or a next step for the student.
 *
 * @example toldAndInvited([step(12, "+", 7)], random) // "12 + 7 = 19\n\nThe answer is 19. Do you see why?"
 */
export const toldAndInvited = (steps: readonly Step[], random: Random): string =>
  `${told(steps)} ${random.pick(invitations)}`;
