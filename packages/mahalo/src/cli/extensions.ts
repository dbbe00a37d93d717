/** The option --extend: programs of the user's that add to mahalo before a command is looked for. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { MahaloError } from "@mahalo/torch";
import { noteExtension } from "../core/extensions.ts";
import { hashFile } from "../core/files.ts";
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
    } else break;
  }
  if (rest.some((word) => word === "--extend" || word.startsWith("--extend=")))
    throw usage("--extend goes before the command: mahalo --extend FILE COMMAND");
  return { files, rest };
};

/**
 * Loads what `--extend` names, in order.
 *
 * Such a file is the user's own program and runs with all rights: it is only ever named on a command line.
 *
 * @returns the words behind the option
 * @throws MahaloError E_CLI_USAGE, E_EXTEND for what is not a program, or fails
 */
export const loadExtensions = async (words: readonly string[]): Promise<string[]> => {
  const { files, rest } = takeFiles(words);
  for (const file of files) {
    const path = resolve(file);
    const fail = (
      fault: string,
      more: { hint?: string; cause?: unknown; exitStatus?: 1 | 2 } = {},
    ): never => {
      throw new MahaloError("E_EXTEND", `--extend ${file}: ${fault}`, more);
    };
    if (file.trim() === "" || !isThere(path)) fail("there is no such file");
    if (!statSync(path).isFile()) fail("is not a file");
    if (!/\.[cm]?[jt]s$/.test(path)) fail("must be a program: .js, .mjs, .ts or .mts");
    noteExtension(file, await hashFile(path));
    try {
      await import(pathToFileURL(path).href);
    } catch (error) {
      const [reason = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
      fail(reason, { cause: error, exitStatus: 1, hint: hintOf(reason) });
    }
  }
  return rest;
};

/** What to do about a program that cannot be loaded. */
const hintOf = (reason: string): string => {
  if (/Unknown file extension/.test(reason))
    return "this Node reads no TypeScript; write the program as .mjs, or use Node 22.18 or later";
  if (/Cannot find package 'mahalo'|in a cycle/.test(reason))
    return "put it into the clone, or into a folder where mahalo is installed and package.json has type: module";
  return "MAHALO_DEBUG=1 shows where it failed";
};
