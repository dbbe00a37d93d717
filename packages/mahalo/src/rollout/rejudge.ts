/** Another judge over rollouts that are there: the same samples serve a second objective. */
import { MahaloError } from "@mahalo/torch";
import { hashBytes } from "../core/files.ts";
import { canonicalJson } from "../core/json.ts";
import { element } from "../core/need.ts";
import type { Judge } from "../judges/types.ts";
import type { RolloutRow } from "./file.ts";
import { judgedEnding } from "./text.ts";

/** Options of {@link rejudgeRollouts}. */
export type RejudgeOptions = {
  judge: Judge;
  /** All that verdicts depend on, as JSON can hold it: `judgeContent` of the declaration. */
  judgeContent: unknown;
  /** Name of the objective that the verdicts are of. Default: the rows' own. */
  objective?: string | undefined;
  /** Kind of that objective, unless the rows are dialogues. Default: the rows' own. */
  kind?: "verifiable" | "judged" | undefined;
  signal?: AbortSignal | undefined;
};

/**
 * The same rollouts with the verdicts of another judge. Labels of steps are left out: they are of the first objective.
 *
 * @throws MahaloError E_ROLLOUT for a judge that gives too few verdicts; what the judge throws
 */
export const rejudgeRollouts = async (
  rows: readonly RolloutRow[],
  { judge, judgeContent, objective, kind, signal }: RejudgeOptions,
): Promise<RolloutRow[]> => {
  const items = rows.flatMap((row) => row.rollouts.map((rollout) => judgedEnding(row, rollout)));
  const verdicts = await judge.score(items, { signal });
  if (verdicts.length !== items.length) {
    throw new MahaloError(
      "E_ROLLOUT",
      `${judge.name} gave ${verdicts.length} verdicts for ${items.length} answers`,
      { exitStatus: 1 },
    );
  }
  let next = 0;
  return rows.map(({ labels, ...row }) => {
    const isOwn = objective === undefined || objective === row.objective;
    return {
      ...row,
      key: hashBytes(canonicalJson({ of: row.key, objective, judge: judgeContent })),
      objective: objective ?? row.objective,
      kind: row.kind === "interactive" ? row.kind : (kind ?? row.kind),
      ...(labels === undefined || !isOwn ? {} : { labels }),
      judge: judge.name,
      rollouts: row.rollouts.map((rollout) => {
        const { score, reason } = element(verdicts, next++, "verdict");
        return { ...rollout, score, reason };
      }),
    };
  });
};
