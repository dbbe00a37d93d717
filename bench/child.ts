/** Runs one setting of a bench in a process of its own, so that its peak of memory is its own, and reads its result. */
import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { MahaloError } from "@mahalo/torch";
import type { z } from "zod";
import { parseJson } from "../packages/mahalo/src/core/json.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** A program and its arguments, what it finds in its environment beside ours, and how errors call it. */
export type Program = {
  name: string;
  command: string;
  args: readonly string[];
  env?: Readonly<Record<string, string>>;
};

/** A TypeScript program of this folder, for example `train/ours.ts`. */
export const ours = (file: string, args: readonly string[]): Program => ({
  name: `bench/${file}`,
  command: process.execPath,
  args: ["--import", "tsx", fileURLToPath(new URL(file, import.meta.url)), ...args],
});

/** A Python program of `peers/`, run by MAHALO_PYTHON, else by `python3`. */
export const peer = (file: string, args: readonly string[]): Program => ({
  name: `bench/peers/${file}`,
  command: python(),
  args: [fileURLToPath(new URL(`peers/${file}`, import.meta.url)), ...args],
});

const python = (): string => process.env.MAHALO_PYTHON || "python3";

/**
 * Checks that Python has what the peers import.
 *
 * @param modules with commas between them
 * @throws MahaloError E_BENCH_PYTHON
 */
export const checkPython = (modules = "psutil, torch, transformers, trl"): void => {
  const { status, stderr } = spawnSync(python(), ["-c", `import ${modules}`], { encoding: "utf8" });
  if (status === 0) return;
  const last = stderr?.trim().split("\n").at(-1) ?? "it does not start";
  throw new MahaloError("E_BENCH_PYTHON", `${python()}: ${last}`, {
    hint: "pip install -r bench/peers/requirements.txt and name that Python in MAHALO_PYTHON, or pass --peers none",
  });
};

/** Signals that end a bench, passed on to the program that is running. */
const endings = ["SIGINT", "SIGTERM"] as const;

/**
 * Runs a program and checks the last line of what it writes, one object of JSON.
 *
 * @throws MahaloError E_BENCH_CHILD with the end of its standard error when it fails
 */
export const runForResult = async <T>(
  { name, command, args, env = {} }: Program,
  schema: z.ZodType<T>,
): Promise<T> => {
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const end = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  for (const signal of endings) process.on(signal, end);
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-4000);
  });
  const ended = await new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) =>
      resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${code}`}`),
    );
  });
  for (const signal of endings) process.off(signal, end);
  if (ended !== undefined) {
    throw new MahaloError("E_BENCH_CHILD", `${name}: ${ended}\n${errors.trim()}`, { exitStatus: 1 });
  }
  return parseJson(output.trim().split("\n").at(-1) ?? "", schema, name);
};
