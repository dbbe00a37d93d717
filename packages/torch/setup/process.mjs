/** Child processes with their output captured. */
import { spawn } from "node:child_process";

/**
 * Runs a program to its end; never throws for a program that fails or is missing.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, show?: boolean }} [options] `show`: pass its output on to stderr as well
 * @returns {Promise<{ status: number | null, missing: boolean, stdout: string, stderr: string }>}
 */
export const run = (program, args, { cwd, env, show = false } = {}) =>
  new Promise((resolve) => {
    const child = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      if (show) process.stderr.write(chunk);
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
      if (show) process.stderr.write(chunk);
    });
    child.on("error", (error) => {
      const missing = "code" in error && (error.code === "ENOENT" || error.code === "EACCES");
      resolve({ status: null, missing, stdout, stderr: stderr || error.message });
    });
    child.on("close", (status) => resolve({ status, missing: false, stdout, stderr }));
  });

/** The last lines of a program's output, for an error message. */
export const tail = (/** @type {string} */ text, lines = 12) =>
  text.trim().split("\n").slice(-lines).join("\n");
