/** The options that commands over rows and judges share: a judge, a file of rows and how to read it. */
import { MahaloError } from "@mahalo/torch";
import { parse } from "yaml";
import type { RowFile } from "../data/rows/load.ts";
import { allRollouts, type RolloutRow } from "../rollout/file.ts";
import { usage } from "./command.ts";

/** What the options of a file of rows hold. */
export type RowFlags = { format?: string; columns?: string };

/** Reads an option that holds YAML or JSON. @throws MahaloError E_CLI_USAGE */
export const parseYaml = (text: string, option: string): unknown => {
  try {
    return parse(text);
  } catch {
    throw usage(`--${option} ${text}: is not valid JSON or YAML`);
  }
};

/**
 * Reads a judge from a command line: the name of a kind that needs no options, or a declaration as recipes have it.
 *
 * @example parseJudge("math"), parseJudge('{"kind": "rule", "asksQuestion": true}'), parseJudge("{kind: sum}")
 */
export const parseJudge = (text: string): unknown => {
  const value = parseYaml(text, "judge");
  return typeof value === "string" ? { kind: value } : value;
};

/**
 * Reads the file of rollouts that a command is given, which must hold some.
 *
 * @throws MahaloError E_ROLLOUT_FILE for a file without rollouts, and as {@link allRollouts}
 */
export async function givenRollouts(path: string): Promise<RolloutRow[]> {
  const rows = await allRollouts(path);
  if (rows.length > 0) return rows;
  throw new MahaloError("E_ROLLOUT_FILE", `${path}: holds no rollouts`, {
    hint: "a file of rollouts is what mahalo rollout writes",
  });
}

/** A file of rows as the command line names it. */
export const rowFile = (path: string, { format, columns }: RowFlags): RowFile => ({
  path,
  format,
  ...(columns === undefined ? {} : { columns: parseYaml(columns, "columns") }),
});
