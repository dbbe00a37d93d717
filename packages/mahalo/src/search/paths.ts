/** Paths of a search: a candidate with all before it, its scores step by step, and what keeps it alive. */

import { hasBoxed } from "@mahalo/math-verify";
import { MahaloError } from "@mahalo/torch";
import { aggregateScores } from "../core/aggregate.ts";
import { canonicalJson } from "../core/json.ts";
import { element, zip } from "../core/need.ts";
import type { Finish } from "../decode/request.ts";
import type { Branch, Grown } from "./branches.ts";
import { weighScores } from "./combine.ts";
import type { SearchOptions } from "./options.ts";
import type { ScoredStep, StepScores } from "./scorer.ts";
import type { SearchNode } from "./tree.ts";

/** A path that may go on, or is an answer. */
export type Path = {
  node: SearchNode;
  parent: Path | undefined;
  /** Name of its random streams: the numbers of its candidates, first step first. */
  key: string;
  /** The text of the whole response; half characters, and what may begin a stop string, come with a later step. */
  text: string;
  /** Tokens of the whole response. */
  ids: readonly number[];
  /** For each step the scores, by the scorer's objectives; none without a scorer. */
  scores: readonly (readonly number[])[];
  finish: Finish | undefined;
  /** Whether the tokens spell the text: not where a stop string cut it. */
  exact: boolean;
  /** What goes on from it; gone once it has ended or has been expanded. */
  alive: { branch: Branch; state: number | undefined } | undefined;
  /** How many candidates grow out of it in the next step. */
  children: number;
};

/** Makes a path of a candidate that has grown. */
export const pathOf = (
  { branch, finish: finishReason }: Grown,
  {
    parent,
    key,
    id,
    group,
    step,
  }: { parent: Path | undefined; key: string; id: number; group: number; step: number },
  options: Pick<SearchOptions, "boxed">,
): Path => {
  const { answer } = branch;
  const ids = [...answer.ids];
  const before = parent?.text.length ?? 0;
  const ends = finishReason === undefined && options.boxed && hasBoxed(answer.text);
  if (ends) answer.end();
  const finish = ends ? "stop" : finishReason;
  const { text } = answer;
  const stepText = text.slice(before);
  return {
    node: {
      id,
      ...(parent === undefined ? {} : { parent: parent.node.id }),
      step,
      group,
      text: stepText,
      ids: ids.slice(parent?.ids.length ?? 0),
      copies: 1,
      ...(finish === undefined ? {} : { finish }),
      kept: false,
    },
    parent,
    key,
    text,
    ids,
    scores: parent?.scores ?? [],
    finish,
    exact: finishReason !== "stop",
    alive: { branch, state: undefined },
    children: 0,
  };
};

/** Ends a path where it is, at the limit of steps. */
export const cutShort = (path: Path): void => {
  const answer = path.alive?.branch.answer;
  answer?.end();
  const text = answer?.text ?? path.text;
  path.node.text += text.slice(path.text.length);
  path.text = text;
  path.finish = "length";
  path.node.finish = "length";
};

/** Equal candidates of one branch in one subtree become the first of them; gives those that are no longer needed. */
export const mergeEqual = (paths: readonly Path[]): { kept: Path[]; merged: Path[] } => {
  const first = new Map<string, Path>();
  const merged: Path[] = [];
  for (const path of paths) {
    const { group, parent, ids, finish = "" } = path.node;
    const key = canonicalJson([group, parent ?? -1, ids, finish]);
    const earlier = first.get(key);
    if (earlier === undefined) first.set(key, path);
    else {
      earlier.node.copies += 1;
      merged.push(path);
    }
  }
  return { kept: [...first.values()], merged };
};

/** What a scorer is shown of a path. */
export const scoredStepOf = (path: Path, from: number): ScoredStep => ({
  from,
  ids: path.node.ids,
  text: path.text,
  ended: path.finish === "end",
  exact: path.exact,
});

/**
 * Gives a path its step's scores.
 *
 * @returns false where one is not finite and such candidates are left out
 * @throws MahaloError E_SEARCH_SCORE where they are not
 */
export const takeScores = (
  path: Path,
  { scores, state }: StepScores,
  objectives: readonly string[],
  { badScores }: Pick<SearchOptions, "badScores">,
): boolean => {
  if (path.alive !== undefined) path.alive.state = state;
  // Default: what a scorer leaves out is no finite score, and is treated as one that is not.
  const values = objectives.map((name) => scores[name] ?? Number.NaN);
  const named = zip(objectives, values);
  const [bad] = named.find(([, value]) => !Number.isFinite(value)) ?? [];
  path.node.scores = Object.fromEntries(named.filter(([, value]) => Number.isFinite(value)));
  path.scores = [...path.scores, values];
  if (bad === undefined) return true;
  if (badScores === "drop") return false;
  const { step, id } = path.node;
  throw new MahaloError(
    "E_SEARCH_SCORE",
    `step ${step}, candidate ${id}: its score for "${bad}" is ${scores[bad] ?? "missing"}`,
    { hint: "set badScores: drop to leave out such candidates", exitStatus: 1 },
  );
};

/** Weighed totals of paths that compete, which their nodes keep. */
export const totalsOf = (
  paths: readonly Path[],
  weights: readonly number[],
  { aggregate, normalize }: Pick<SearchOptions, "aggregate" | "normalize">,
): number[] => {
  const values = paths.map(({ scores }) =>
    weights.map((_, k) => aggregateScores(scores.map((step) => element(step, k, "score")))[aggregate]),
  );
  const totals = weighScores(values, weights, normalize);
  if (weights.length > 0) for (const [{ node }, total] of zip(paths, totals)) node.total = total;
  return totals;
};

/** The nodes from the first step to a path. */
export const lineOf = (path: Path): SearchNode[] =>
  path.parent === undefined ? [path.node] : [...lineOf(path.parent), path.node];
