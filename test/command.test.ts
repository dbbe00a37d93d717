/** The command as a process: signals end it in good order with their own statuses, and no trouble shows a stack. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tinyFolder } from "../packages/mahalo/src/model/testing/tiny.ts";

const command = fileURLToPath(new URL("../packages/mahalo/bin/mahalo.mjs", import.meta.url));
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-command-"));
  const rows = Array.from({ length: 8 }, (_, index) =>
    JSON.stringify({ prompt: `say ${index}`, chosen: `yes ${index}`, rejected: `no ${index}` }),
  );
  await writeFile(join(folder, "a.jsonl"), rows.join("\n"));
  await writeFile(
    join(folder, "recipe.yaml"),
    `name: run
model: ${tinyFolder("tiny-llama")}
out: .
objectives: { a: { pairs: { path: a.jsonl } } }
data: { maxTokens: 64, heldOut: 0.2, maxPromptTokens: 32 }
sft: { epochs: 1000, batchSize: 4, precision: f32, saveEvery: 100000, evaluateEvery: 0 }
align: { learningRate: 1e-3, batchSize: 4, precision: f32 }
`,
  );
});
afterAll(() => rm(folder, { recursive: true }));

/** Starts a run that trains for long, and waits until it does. */
const training = async (): Promise<{ child: ChildProcess; told: () => string }> => {
  const child = spawn(process.execPath, [command, "run", "recipe.yaml"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let text = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on("data", (chunk) => {
      text += String(chunk);
      if (/sft: (begins|resumes)/.test(text)) resolve();
    });
    child.on("exit", () => reject(new Error(text)));
  });
  return { child, told: () => text };
};

const leftovers = (): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.tmp|\.old|lock/.test(name));

test.each([
  ["SIGTERM", 143],
  ["SIGHUP", 129],
  ["SIGINT", 130],
] as const)(
  "%s ends a run at the next safe point, with a checkpoint and status %d",
  async (signal, status) => {
    const { child, told } = await training();
    child.kill(signal);
    const [code] = await once(child, "exit");
    expect([code, told().includes("Ctrl-C")]).toEqual([status, signal === "SIGINT"]);
    expect(told()).toContain("(E_INTERRUPTED)");
    expect(leftovers()).toEqual([]);
    expect(
      readdirSync(join(folder, "run", "sft")).filter((name) => /^checkpoint-\d+$/.test(name)),
    ).toHaveLength(1);
  },
);

test("a second Ctrl-C ends at once, and leaves nothing half written", async () => {
  const { child } = await training();
  const ended = once(child, "exit");
  child.kill("SIGINT");
  child.kill("SIGINT");
  expect((await ended)[0]).toBe(130);
  expect(leftovers()).toEqual([]);
});

describe("trouble is one line:", () => {
  const sh = (script: string) =>
    spawnSync("sh", ["-c", script, process.execPath, command], { cwd: folder, encoding: "utf8" });

  test.each([
    ["standard output on a full disk", '"$0" "$1" schema > /dev/full', 1, "E_FILE_WRITE"],
    [
      "a working folder that is gone",
      'mkdir gone; cd gone; rmdir ../gone; exec "$0" "$1" plan a.yaml',
      2,
      "E_FOLDER_GONE",
    ],
    ["too few open files", 'ulimit -n 24; "$0" "$1" schema', 1, "E_SYSTEM"],
    ["outputs where no folder can be", '"$0" "$1" run recipe.yaml --set out=/proc/runs', 2, "E_FILE_WRITE"],
  ])("%s", (_, script, status, code) => {
    const ran = sh(script);
    expect(ran.stderr).toMatch(new RegExp(`^mahalo: [^\\n]*\\(${code}\\)\\n$`));
    expect(ran.status).toBe(status);
  });
});
