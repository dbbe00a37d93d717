/** The judge `function`: a file of the user's that exports one function from a reply to its score. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { throwIfAborted } from "../core/interrupt.ts";
import { itemName, type JudgedItem, type JudgeKind, type Verdict } from "./types.ts";

/** Options of the judge `function`. */
export const functionJudgeOptions = z.strictObject({
  file: z
    .string()
    .min(1)
    .describe("JavaScript or TypeScript file that exports one function; relative to the working folder."),
});

/** Options of {@link functionJudge}. */
export type FunctionJudgeOptions = z.output<typeof functionJudgeOptions>;

/**
 * What a user's file exports: a function from an item to a score in [0, 1], to a score with its reason, or to null
 * where it abstains; or to a promise of these.
 *
 * @example export const short = ({ response }: JudgedItem) => (response.length < 200 ? 1 : 0);
 */
export type JudgeFunction = (item: JudgedItem) => unknown;

const score = z.number().min(0).max(1);
const resultSchema = z.union([
  score.transform((given): Verdict => ({ score: given, reason: "" })),
  z.null().transform((): Verdict => ({ score: null, reason: "the function abstains" })),
  z
    .strictObject({ score: score.nullable(), reason: z.string().default("") })
    .transform((given): Verdict => given),
]);

const isFunction = (value: unknown): value is JudgeFunction => typeof value === "function";
const fail = (message: string, hint: string, cause?: unknown): MahaloError =>
  new MahaloError("E_JUDGE_FUNCTION", message, { hint, cause });
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const load = async (file: string): Promise<JudgeFunction> => {
  const path = resolve(file);
  const stats = await stat(path).catch(() => undefined);
  if (stats?.isFile() !== true)
    throw fail(`${file}: there is no such file`, "check the judge's option `file`");
  let module: unknown;
  try {
    module = await import(/* @vite-ignore */ pathToFileURL(path).href);
  } catch (error) {
    throw fail(
      `${file}: cannot be loaded: ${textOf(error)}`,
      "it must be an ES module; if TypeScript cannot be loaded, write it as .mjs",
      error,
    );
  }
  // A default export that is exported by name too is one function.
  const functions = [...new Set(Object.values(z.looseObject({}).parse({ ...Object(module) })))].filter(
    isFunction,
  );
  const [first] = functions;
  if (first !== undefined && functions.length === 1) return first;
  throw fail(
    `${file}: exports ${functions.length === 0 ? "no function" : `${functions.length} functions`}`,
    "export exactly one function: from { prompt, response, reference } to a score in [0, 1]",
  );
};

const shown = (value: unknown): string => {
  const text = typeof value === "object" && value !== null ? "an object of another form" : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
};

/**
 * A function of the user's as a judge. It runs in this process with all its rights, so the file must be the user's own.
 * The file's content is part of what verdicts depend on; files that it imports are not.
 *
 * The file is loaded by the first call of `score`; items are judged one after another.
 *
 * @throws from `score`, MahaloError E_JUDGE_FUNCTION where the file is missing, cannot be loaded or does not export one
 *   function, and where the function throws or gives anything but a score in [0, 1]
 */
export const functionJudge: JudgeKind<"function", FunctionJudgeOptions> = {
  kind: "function",
  options: functionJudgeOptions,
  verdictsOn: "answer",
  content: () => ({}),
  files: ["file"],
  make: ({ file }) => {
    let loading: Promise<JudgeFunction> | undefined;
    return {
      name: "function",
      score: async (items, { signal, onVerdict } = {}) => {
        throwIfAborted(signal, "judging");
        loading ??= load(file);
        const judge = await loading;
        const verdicts: Verdict[] = [];
        for (const [index, item] of items.entries()) {
          throwIfAborted(signal, "judging");
          const where = itemName(item, index);
          let given: unknown;
          try {
            given = await judge(item);
          } catch (error) {
            throw fail(
              `${file}: throws on ${where}: ${textOf(error)}`,
              "fix the function, or return null to abstain",
              error,
            );
          }
          const result = resultSchema.safeParse(given);
          if (!result.success) {
            throw fail(
              `${file}: gives ${shown(given)} for ${where}, which is not a score in [0, 1]`,
              "return a number from 0 to 1, { score, reason }, or null to abstain",
            );
          }
          verdicts.push(result.data);
          onVerdict?.(index, result.data);
        }
        return verdicts;
      },
    };
  },
};
