/** The judge `rule`: does the reply have the features that the recipe declares? */
import { setImmediate as nextTick } from "node:timers/promises";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { throwIfAborted } from "../core/interrupt.ts";
import { overdue, withinTime } from "../core/time-limit.ts";
import { type JsonCheck, jsonCheck, jsonSchemaFault } from "./json-reply.ts";
import { isQuestion, plain, sentences } from "./text.ts";
import { itemName, type JudgedItem, type JudgeKind, type Verdict } from "./types.ts";

const regularExpression = z.string().refine(
  (source) => {
    try {
      return Boolean(new RegExp(source, "iu"));
    } catch {
      return false;
    }
  },
  { error: "must be a valid regular expression" },
);

/** Options of the judge `rule`: the features a reply must have; each one left out is not looked at. */
export const ruleOptions = z
  .strictObject({
    asksQuestion: z
      .boolean()
      .optional()
      .describe(
        "Whether the reply must (or must not) invite the reader on: an open question or a task near its end.",
      ),
    addressesReader: z
      .boolean()
      .optional()
      .describe("Whether the reply must (or must not) speak to its reader."),
    minWords: z.int().min(0).optional().describe("Fewest words."),
    maxWords: z.int().min(1).optional().describe("Most words."),
    pattern: regularExpression
      .optional()
      .describe("Regular expression the reply must match; case does not matter."),
    notPattern: regularExpression.optional().describe("Regular expression the reply must not match."),
    jsonSchema: z
      .record(z.string(), z.json())
      .superRefine((schema, context) => {
        const fault = jsonSchemaFault(schema);
        if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
      })
      .optional()
      .describe(
        "JSON schema (draft 2020-12) that the reply must fit: it is one JSON value, bare or in one code block. `format` is not checked.",
      ),
  })
  .refine((rule) => Object.values(rule).some((feature) => feature !== undefined), {
    error: "must declare at least one feature, for example asksQuestion: true",
  })
  .refine(({ minWords = 0, maxWords = Number.POSITIVE_INFINITY }) => minWords <= maxWords, {
    error: "minWords must not be above maxWords",
  });

/** Options of {@link ruleJudge}. */
export type RuleOptions = z.output<typeof ruleOptions>;

/** How many sentences at the end of a reply count as "near its end". */
const lastSentences = 2;

const readerWord = /\b(you|your|yours|yourself|you're|you'd|let's|lets|we|us|our|together)\b/iu;
const questionStart =
  /^(?:(?:so|now|then|and|but|okay|ok|well|first|next)[,:]?\s+|[^,:]{1,40}[,:]\s+)?(?:what|how|which|why|where|when|who|can|could|would|will|do|does|did|is|are|shall|should|ready|any|want|got|may|might)\b/iu;
const task =
  /^(?:(?:so|now|then|and|next|first)[,:]?\s+|please\s+)?(?:try|tell|think|draw|check|explain|imagine|show|give it|let's|see if|see whether|work out|work it out|write|compare|guess|count|find|ask|describe|have a go|go on|your turn)\b/iu;

/** Whether the reply says the question's own words again, which asks the reader nothing new. */
const echoes = (sentence: string, prompt: string): boolean => prompt.includes(plain(sentence));

const isOpenQuestion = (sentence: string, prompt: string): boolean =>
  isQuestion(sentence) &&
  plain(sentence).split(" ").length >= 2 &&
  (readerWord.test(sentence) || questionStart.test(sentence)) &&
  !echoes(sentence, prompt);

const isTask = (sentence: string): boolean => task.test(sentence) && !/=\s*\S|\banswer is\b/iu.test(sentence);

/**
 * The sentence near a reply's end that invites its reader on, if there is one: an open question or a task.
 *
 * A question counts as open where it is not the prompt's own (an echo) and no sentence after it holds a number, since
 * then the reply has most likely answered it itself. A task is a sentence that begins with a request ("Try ...",
 * "Tell me ...", "Let's ...") and computes nothing. Only the last two sentences count.
 */
export const invitation = ({ prompt, response }: JudgedItem): string | undefined => {
  const asked = plain(prompt.map(({ content }) => content).join("\n"));
  const near = sentences(response).slice(-lastSentences);
  return near.find((sentence, index) => {
    const after = near.slice(index + 1);
    const open = isOpenQuestion(sentence, asked) || isTask(sentence);
    return open && !after.some((later) => /\d/.test(later) && !isQuestion(later));
  });
};

/** Whether a reply speaks to its reader: a word for the reader, or a sentence that asks something of the reader. */
export const addressesReader = (item: JudgedItem): boolean =>
  readerWord.test(item.response) || sentences(item.response).some(isTask) || invitation(item) !== undefined;

const wordCount = (text: string): number => text.trim().split(/\s+/u).filter(Boolean).length;

const quoted = (text: string): string => `"${text.length > 80 ? `${text.slice(0, 77)}...` : text}"`;

/** What a rule looks for, made ready once. */
type Ready = { rule: RuleOptions; pattern?: RegExp; notPattern?: RegExp; json?: JsonCheck };

const ready = (rule: RuleOptions): Ready => ({
  rule,
  ...(rule.pattern === undefined ? {} : { pattern: new RegExp(rule.pattern, "iu") }),
  ...(rule.notPattern === undefined ? {} : { notPattern: new RegExp(rule.notPattern, "iu") }),
  ...(rule.jsonSchema === undefined ? {} : { json: jsonCheck(rule.jsonSchema) }),
});

/** What is wrong or right with a reply, one finding for each declared feature. */
const findings = (
  item: JudgedItem,
  { rule, pattern, notPattern, json }: Ready,
): { holds: boolean; reason: string }[] => {
  const checks: { holds: boolean; reason: string }[] = [];
  const words = wordCount(item.response);
  if (rule.asksQuestion !== undefined) {
    const sentence = invitation(item);
    const reason =
      sentence === undefined ? "does not invite the reader on" : `invites on: ${quoted(sentence)}`;
    checks.push({ holds: (sentence !== undefined) === rule.asksQuestion, reason });
  }
  if (rule.addressesReader !== undefined) {
    const speaks = addressesReader(item);
    const reason = speaks ? "speaks to the reader" : "does not speak to the reader";
    checks.push({ holds: speaks === rule.addressesReader, reason });
  }
  if (rule.minWords !== undefined) {
    checks.push({
      holds: words >= rule.minWords,
      reason: `${words} words, at least ${rule.minWords} wanted`,
    });
  }
  if (rule.maxWords !== undefined) {
    checks.push({ holds: words <= rule.maxWords, reason: `${words} words, at most ${rule.maxWords} wanted` });
  }
  if (pattern !== undefined) {
    const matches = pattern.test(item.response);
    checks.push({ holds: matches, reason: `${matches ? "matches" : "does not match"} /${pattern.source}/` });
  }
  if (notPattern !== undefined) {
    const matches = notPattern.test(item.response);
    checks.push({
      holds: !matches,
      reason: `${matches ? "matches" : "does not match"} /${notPattern.source}/`,
    });
  }
  if (json !== undefined) {
    const fault = json(item.response);
    checks.push({ holds: fault === undefined, reason: fault ?? "fits the JSON schema" });
  }
  return checks;
};

/** Longest time that the features of one reply may take, in milliseconds. */
const timeLimit = 1000;

const judgeOne = (item: JudgedItem, index: number, rule: Ready): Verdict => {
  const checks = withinTime(timeLimit, () => findings(item, rule));
  if (checks === overdue) {
    throw new MahaloError(
      "E_JUDGE_TIME",
      `${itemName(item, index)}: the judge "rule" takes longer than ${timeLimit / 1000} s`,
      {
        hint: "a pattern with a repetition inside a repetition, such as (a+)+, can take forever; write it with one repetition",
      },
    );
  }
  const failed = checks.filter(({ holds }) => !holds);
  const shown = failed.length > 0 ? failed : checks;
  return { score: failed.length === 0 ? 1 : 0, reason: shown.map(({ reason }) => reason).join("; ") };
};

/**
 * Declared features: score 1 where the reply has all of them, else 0.
 *
 * @throws MahaloError E_JUDGE_TIME where a pattern of the user's takes time without bound on a reply
 */
export const ruleJudge: JudgeKind<"rule", RuleOptions> = {
  kind: "rule",
  options: ruleOptions,
  verdictsOn: "manner",
  make: (options) => {
    const rule = ready(options);
    return {
      name: "rule",
      score: async (items, { signal } = {}) => {
        const verdicts: Verdict[] = [];
        for (const [index, item] of items.entries()) {
          // Lets signals through now and then.
          if (index % 256 === 255) await nextTick();
          throwIfAborted(signal, "judging");
          verdicts.push(judgeOne(item, index, rule));
        }
        return verdicts;
      },
    };
  },
};
