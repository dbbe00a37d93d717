/** Errors about a setting that name the flag it was given with, where the library names its own field. */
import { MahaloError } from "@mahalo/torch";
import type { Command } from "commander";

/** Codes of errors that begin with the field that is wrong. */
const fieldCodes: readonly string[] = ["E_SAMPLING", "E_GENERATE_REQUEST", "E_BATCH_SIZE", "E_ROLLOUT"];

/**
 * The same error, with `--top-p` for `sampling: topP`, where the field is an option that the command line gave; any other
 * error as it is.
 *
 * @param command that was run
 */
export function namingFlag(error: unknown, command: Command | undefined): unknown {
  if (!(error instanceof MahaloError) || !fieldCodes.includes(error.code)) return error;
  const { field, problem } =
    /^(?:sampling: |request \d+: )?(?<field>\w+)(?:\[\d+\])?: (?<problem>.*)$/s.exec(error.message)?.groups ??
    {};
  if (field === undefined || command?.getOptionValueSource(field) !== "cli") return error;
  const flag = command.options.find((option) => option.attributeName() === field)?.long;
  if (flag === undefined || flag === null) return error;
  const { code, hint, exitStatus } = error;
  return new MahaloError(code, `${flag}: ${problem}`, { hint, exitStatus, cause: error });
}
