/** mahalo/extend: what a program adds to mahalo's own, each by one call: recipes, settings and the command line then know its name. */
import type { CommandFile } from "../cli/command.ts";
import { commands } from "../cli/commands.ts";
import { checkParts } from "../core/parts.ts";
import { type Columns, columnMapper } from "../data/rows/columns.ts";
import { formats } from "../data/rows/formats.ts";
import { rowReaders } from "../data/rows/readers/registry.ts";
import type { RowReader } from "../data/rows/readers/types.ts";
import type { ModelFamily } from "../model/families/family.ts";
import { families } from "../model/families/registry.ts";
import type { RewardHeadKind } from "../model/reward/head-kinds/kind.ts";
import { headKinds } from "../model/reward/head-kinds/registry.ts";
import { strategies } from "../search/strategies/registry.ts";
import type { Strategy } from "../search/strategies/types.ts";
import { type PairLossSpec, pairLosses } from "../train/losses.ts";
import { type AlignMethodSpec, methodFault } from "../train/methods/method.ts";
import { alignMethods } from "../train/methods/registry.ts";

export { type CommandSpec, command, type Io, outputOf } from "../cli/command.ts";
export { element } from "../core/need.ts";
export { addGenerator as registerGenerator } from "../data/generators/registry.ts";
export type { Generated, GeneratedProblem, GeneratedRow, Generator } from "../data/generators/types.ts";
export { RowProblem } from "../data/rows/problems.ts";
export { addJudge as registerJudge } from "../judges/registry.ts";
export type { Judge, JudgedItem, JudgeKind, Verdict } from "../judges/types.ts";
export { layerBackward, layerForward, linearLayer, linearShapes } from "../model/reward/head-kinds/linear.ts";
export { type AddedStage, addStage as registerStage } from "../recipe/pipeline.ts";
export { best, keepBest } from "../search/strategies/types.ts";
export { ofMargin } from "../train/losses.ts";
export type {
  AlignMethodSpec,
  Columns,
  CommandFile,
  ModelFamily,
  PairLossSpec,
  RewardHeadKind,
  RowReader,
  Strategy,
};

/** Adds a preference loss, for `align.loss`. @throws MahaloError E_REGISTRY for a name that is taken */
export function registerLoss(name: string, loss: PairLossSpec): void {
  checkParts(pairLosses, name, loss, {
    summary: "string",
    reference: "boolean",
    beta: "number",
    reads: "list",
    make: "function",
  });
  pairLosses.add(name, loss);
}

/** Adds a method, for `align.method`. @throws MahaloError E_REGISTRY */
export function registerMethod(name: string, method: AlignMethodSpec): void {
  checkParts(alignMethods, name, method, {
    summary: "string",
    fields: "object",
    heads: "string?",
    rank: "function?",
    losses: "function?",
  });
  const fault = methodFault(method);
  if (fault !== undefined) alignMethods.refuse(name, fault);
  alignMethods.add(name, method);
}

/** Adds a kind of reward head, for `reward.heads`. @throws MahaloError E_REGISTRY */
export function registerRewardHead(name: string, kind: RewardHeadKind): void {
  checkParts(headKinds, name, kind, {
    title: "string",
    outputs: "number",
    probability: "boolean",
    shapes: "function",
    forward: "function",
    backward: "function",
    score: "function",
    steps: "object?",
    pairs: "object?",
  });
  headKinds.add(name, kind);
}

/** Adds a search strategy, for `guide.search.strategy` and `--search`. @throws MahaloError E_REGISTRY */
export function registerStrategy(name: string, strategy: Strategy): void {
  checkParts(strategies, name, strategy, {
    summary: "string",
    scored: "boolean",
    choice: "object",
    begin: "function",
    step: "function",
  });
  strategies.add(name, strategy);
}

/** Adds a model family on the backbone, by config.json's `model_type`. @throws MahaloError E_REGISTRY */
export function registerFamily(name: string, family: ModelFamily): void {
  checkParts(families, name, family, {
    className: "string",
    defaults: "object",
    biases: "function",
    qkNorm: "boolean",
    keys: "function",
  });
  families.add(name, family);
}

/** Adds a row format, for `format:` of any source: a column map. @throws MahaloError E_REGISTRY */
export function registerRowFormat(name: string, columns: Columns): void {
  checkParts(formats, name, columns, {});
  // A map that cannot be read is refused here, not with the first row.
  columnMapper(columns);
  formats.add(name, columns);
}

/** Adds code that reads rows of a layout which no column map can tell, for `columns.reader`. @throws MahaloError E_REGISTRY */
export function registerRowReader(name: string, reader: RowReader): void {
  checkParts(rowReaders, name, reader, { read: "function", none: "string" });
  rowReaders.add(name, reader);
}

/** Adds a command to the command line. @throws MahaloError E_REGISTRY */
export function registerCommand(name: string, file: CommandFile): void {
  if (typeof file !== "function") commands.refuse(name, "must be a function that makes a command");
  if (name === "help") commands.refuse(name, "is mahalo's own");
  commands.add(name, file);
}
