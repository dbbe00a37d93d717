/** The judges that a recipe's objectives declare: what of them decides a stage's outputs, and the files they read. */
import { judgeContent, judgeFiles } from "../../judges/registry.ts";
import type { SourceFiles } from "../engine/source-files.ts";
import type { Recipe } from "../schema/schema.ts";

/** What `use` makes of each objective's judge, by the objective's name; those without a judge are passed over. */
export const forJudges = <T>(
  { objectives }: Recipe,
  use: (judge: unknown, where: string) => T,
  names: readonly string[] = Object.keys(objectives),
): Record<string, T> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const judge = objectives[name]?.judge;
      return judge === undefined ? [] : [[name, use(judge, `objectives.${name}.judge`)]];
    }),
  );

/** All that verdicts depend on but the judges' own files, for a stage's content hash. */
export const judgeInputs = (recipe: Recipe, names?: readonly string[]): Record<string, unknown> =>
  forJudges(recipe, judgeContent, names);

/** The user's own files that one judge reads, for a stage's content hash. */
export const judgeSource = (judge: unknown, where: string): SourceFiles[] =>
  judgeFiles(judge, where).map(({ option, path }) => ({
    label: `${where}.${option}`,
    locate: async () => [path],
  }));

/** The users' own files that judges read, for a stage's content hash. */
export const judgeSources = (recipe: Recipe, names?: readonly string[]): SourceFiles[] =>
  Object.values(forJudges(recipe, judgeSource, names)).flat();
