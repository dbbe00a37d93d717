/** The kinds of judge a recipe may name; a new one is one file and one line here. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { checkValue } from "../../core/json.ts";
import { didYouMean } from "../../core/suggest.ts";
import { ruleJudge } from "./rule.ts";
import { sumJudge } from "./sum.ts";
import type { Judge, JudgeKind } from "./types.ts";

const register = <Kind extends string, Options>(judge: JudgeKind<Kind, Options>) => ({
  kind: judge.kind,
  options: judge.options,
  make: (options: unknown, where: string): Judge =>
    judge.make(checkValue(options, judge.options, where, { code: "E_JUDGE_OPTIONS" })),
});

/** All kinds of judge. */
export const judgeKinds = [register(sumJudge), register(ruleJudge)] as const;

/** Names of all kinds of judge. */
export const judgeNames: readonly string[] = judgeKinds.map(({ kind }) => kind);

/** A judge as recipes declare it: its kind, and beside it the kind's own options. */
const judgeDeclaration = z.looseObject({ kind: z.string() });

/**
 * Makes the judge that a recipe declares.
 *
 * @param declaration for example `{ kind: "rule", asksQuestion: true }`.
 * @param where what error messages begin with, for example `recipe.yaml: objectives.engagement.judge`.
 * @throws MahaloError E_JUDGE_UNKNOWN for a kind that is not there, E_JUDGE_OPTIONS for options it does not take
 */
export const makeJudge = (declaration: unknown, where: string): Judge => {
  const { kind, ...options } = checkValue(declaration, judgeDeclaration, where, { code: "E_JUDGE_OPTIONS" });
  const found = judgeKinds.find((one) => one.kind === kind);
  if (!found) {
    throw new MahaloError("E_JUDGE_UNKNOWN", `${where}: unknown judge "${kind}"`, {
      hint: didYouMean(kind, judgeNames),
    });
  }
  return found.make(options, where);
};
