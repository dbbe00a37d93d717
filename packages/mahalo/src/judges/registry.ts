/** The kinds of judge a recipe may name; a new one is one file and one line here, or is added by a program. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { checkValue } from "../core/json.ts";
import { element } from "../core/need.ts";
import { checkParts } from "../core/parts.ts";
import { Registry } from "../core/registry.ts";
import { cachedJudge } from "./cached.ts";
import { chatJudge } from "./chat.ts";
import { functionJudge } from "./function.ts";
import { mathJudge } from "./math.ts";
import { modelJudge } from "./model.ts";
import { ruleJudge } from "./rule.ts";
import { sumJudge } from "./sum.ts";
import { itemName, type Judge, type JudgeKind, type VerdictsOn } from "./types.ts";

/** A judge's own file, and the option that names it. */
export type JudgeFile = { option: string; path: string };

/** What of a judge its verdicts depend on, and how it is made. */
type Declared = {
  /** As {@link JudgeKind.content} says, with the kind's name and its version. */
  content: { kind: string; version: string; options: unknown };
  files: JudgeFile[];
  cached: boolean;
  needsAnswer: boolean;
  verdictsOn: VerdictsOn;
  make(): Judge;
};

/** The files of a folder, each under the name of the option and its own; none for what is no folder on this machine. */
const filesOfFolder = (option: string, folder: string): JudgeFile[] => {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => ({ option: `${option}/${name}`, path: join(folder, name) }))
      .sort((a, b) => (a.option < b.option ? -1 : 1));
  } catch {
    return [];
  }
};

/** A kind of judge among the others: the schema of its options, and what a declaration with options makes. */
type RegisteredJudge = {
  options: z.ZodType;
  declare(given: unknown, where: string): Declared;
};

/** A kind as the registry holds it, its options' type inside. */
const registered = <Options extends object>(judge: JudgeKind<string, Options>): RegisteredJudge => ({
  options: judge.options,
  declare: (given: unknown, where: string): Declared => {
    const options = checkValue(given, judge.options, where, { code: "E_JUDGE_OPTIONS" });
    const { files = [], folders = [], version = "1" } = judge;
    const pathsOf = (names: readonly (keyof Options & string)[]): JudgeFile[] =>
      names.flatMap((option) => {
        const path = options[option];
        return typeof path === "string" ? [{ option, path }] : [];
      });
    return {
      content: { kind: judge.kind, version, options: judge.content?.(options) ?? options },
      files: [
        ...pathsOf(files),
        ...pathsOf(folders).flatMap(({ option, path }) => filesOfFolder(option, path)),
      ],
      cached: judge.cached?.(options) === true,
      needsAnswer: judge.needsAnswer === true,
      verdictsOn: judge.verdictsOn,
      make: () => judge.make(options),
    };
  },
});

/** Kinds of judge by name. */
export const judgeKinds = new Registry<RegisteredJudge>("judge", {
  sum: registered(sumJudge),
  rule: registered(ruleJudge),
  math: registered(mathJudge),
  model: registered(modelJudge),
  chat: registered(chatJudge),
  function: registered(functionJudge),
});

/** Adds a kind of judge, for a program. @throws MahaloError E_REGISTRY */
export const addJudge = <Options extends object>(judge: JudgeKind<string, Options>): void => {
  checkParts(judgeKinds, judge?.kind, judge, {
    kind: "string",
    options: "object",
    verdictsOn: "string",
    make: "function",
  });
  judgeKinds.add(judge.kind, registered(judge));
};

/** A judge as recipes declare it: its kind, and beside it the kind's own options. */
const judgeDeclaration = z.looseObject({ kind: z.string() });

const declared = (declaration: unknown, where: string): Declared => {
  const { kind, ...options } = checkValue(declaration, judgeDeclaration, where, { code: "E_JUDGE_OPTIONS" });
  return judgeKinds.get(kind, { where, code: "E_JUDGE_UNKNOWN" }).declare(options, where);
};

/** A judge whose verdicts are as many as the items and lie in [0, 1]; what else it says would spoil every mean. */
const withCheckedVerdicts = (judge: Judge, where: string): Judge => ({
  ...judge,
  name: judge.name,
  score: async (items, options) => {
    const verdicts = await judge.score(items, options);
    const refuse = (fault: string): never => {
      throw new MahaloError("E_JUDGE_VERDICT", `${where}: the judge "${judge.name}" ${fault}`, {
        exitStatus: 1,
      });
    };
    if (!Array.isArray(verdicts) || verdicts.length !== items.length)
      refuse(`must give one verdict for each of ${items.length} items, in a list`);
    for (const [index, verdict] of verdicts.entries()) {
      const score: unknown = verdict?.score;
      if (score === null || (typeof score === "number" && score >= 0 && score <= 1)) continue;
      refuse(
        `gives the score ${String(score)} for ${itemName(element(items, index), index)}; scores lie in [0, 1], and null abstains`,
      );
    }
    return verdicts;
  },
  ...(judge.dispose === undefined ? {} : { dispose: () => judge.dispose?.() }),
});

/** Options of {@link makeJudge}. */
export type MakeJudgeOptions = {
  /**
   * Folder in which verdicts that cost something are kept, so that none is asked for twice; the run's cache folder.
   * Default: none are kept.
   */
  cache?: string;
};

/**
 * Makes the judge that a recipe (or a command's flag) declares.
 *
 * A declaration may name code of the user's (`function`) and an endpoint to call (`chat`), so it must come from the
 * user: never hand over one that was read from a model folder or a data file.
 *
 * @param declaration for example `{ kind: "rule", asksQuestion: true }`.
 * @param where what error messages begin with, for example `recipe.yaml: objectives.engagement.judge`.
 * @throws MahaloError E_JUDGE_UNKNOWN for a kind that is not there, E_JUDGE_OPTIONS for options it does not take, and
 *   what the kind's own `make` throws
 *
 * @example
 * const judge = makeJudge({ kind: "rule", asksQuestion: true }, "example");
 * const [verdict] = await judge.score([{ prompt, response }]);
 */
export const makeJudge = (declaration: unknown, where: string, { cache }: MakeJudgeOptions = {}): Judge => {
  const { content, files, cached, make } = declared(declaration, where);
  const judge = withCheckedVerdicts(make(), where);
  return cached && cache !== undefined ? cachedJudge(judge, { folder: cache, content, files }) : judge;
};

/**
 * What a stage's content hash holds of a judge: all that its verdicts depend on but the content of its own files, which
 * {@link judgeFiles} lists.
 *
 * @throws MahaloError as {@link makeJudge}
 */
export const judgeContent = (declaration: unknown, where: string): unknown =>
  declared(declaration, where).content;

/** Whether a judge compares with the row's answer, so that it can say nothing of a row without one. */
export function judgeNeedsAnswer(declaration: unknown, where: string): boolean {
  return declared(declaration, where).needsAnswer;
}

/** Whether a judge's verdicts on rows with an answer make the objective a verifiable one. @throws as {@link makeJudge} */
export const judgesAnswers = (declaration: unknown, where: string): boolean =>
  declared(declaration, where).verdictsOn === "answer";

/** The user's own files that a judge reads. @throws MahaloError as {@link makeJudge} */
export const judgeFiles = (declaration: unknown, where: string): JudgeFile[] =>
  declared(declaration, where).files;
