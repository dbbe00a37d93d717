/** The option --extend: programs of the user's that add to mahalo before a command is looked for. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { MahaloError } from "@mahalo/torch";
import { isThere } from "../core/read-file.ts";
import { usage } from "./command.ts";

/** How the option stands in help. */
export const extendOption = {
  flags: "--extend <file>",
  description:
    "before the command: run a program that adds methods, judges, commands and more; may be repeated",
} as const;

/** The files that `--extend` names in front of the command, and the words behind them. @throws MahaloError E_CLI_USAGE */
const takeFiles = (words: readonly string[]): { files: string[]; rest: string[] } => {
  const files: string[] = [];
  const rest = [...words];
  for (;;) {
    const [flag] = rest;
    if (flag === "--extend") {
      const [, file] = rest.splice(0, 2);
      if (file === undefined) throw usage("--extend needs a file");
      files.push(file);
    } else if (flag?.startsWith("--extend=") === true) {
      files.push(flag.slice("--extend=".length));
      rest.shift();
    } else return { files, rest };
  }
};

/**
 * Loads what `--extend` names, in order.
 *
 * Such a file is the user's own program and runs with all rights: it is only ever named on a command line.
 *
 * @returns the words behind the option
 * @throws MahaloError E_CLI_USAGE, E_EXTEND for a file that is not there or fails
 */
export const loadExtensions = async (words: readonly string[]): Promise<string[]> => {
  const { files, rest } = takeFiles(words);
  for (const file of files) {
    const path = resolve(file);
    if (!isThere(path)) throw new MahaloError("E_EXTEND", `--extend ${file}: there is no such file`);
    try {
      await import(pathToFileURL(path).href);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const typescript = /\.[mc]?ts$/.test(file) && /Unknown file extension/.test(reason);
      throw new MahaloError("E_EXTEND", `--extend ${file}: ${reason}`, {
        cause: error,
        hint: typescript
          ? "this Node does not read TypeScript; write the program as .mjs, or use Node 22.18 or later"
          : "MAHALO_DEBUG=1 shows where it failed",
      });
    }
  }
  return rest;
};
