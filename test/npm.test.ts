/** The npm packages: packed, installed into an empty folder, set up by their first command, run, and used as a library. */
import { execFile } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cacheFolder, readSetUpRecord } from "@mahalo/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tinyFolder } from "../packages/mahalo/src/model/testing/tiny.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const execute = promisify(execFile);
const base = mkdtempSync(join(tmpdir(), "mahalo-npm-"));
const project = join(base, "project");
afterAll(() => rmSync(base, { recursive: true, force: true }));

// A user without anything of ours but libtorch and the base model, which are large.
const environment: NodeJS.ProcessEnv = {
  ...process.env,
  XDG_CACHE_HOME: join(base, "cache"),
  LIBTORCH: readSetUpRecord().libtorch.folder,
  HF_HUB_OFFLINE: "1",
};
// vitest tells its workers where they are; a process of the user's own knows nothing of that.
for (const name of ["NODE_PATH", "NODE_OPTIONS", "npm_config_local_prefix"]) delete environment[name];

const run = async (program: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> => {
  try {
    return await execute(program, args, { cwd: project, env: environment, maxBuffer: 2 ** 26 });
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${[program, ...args].join(" ")}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`, {
      cause: error,
    });
  }
};

const recipe = `name: quickstart
model: model
objectives:
  accuracy: { pairs: { path: accuracy.jsonl } }
  engagement: { pairs: { path: engagement.jsonl } }
data: { maxTokens: 64, heldOut: 0.2, maxPromptTokens: 32 }
sft: { batchSize: 4, precision: f32 }
align: { learningRate: 1e-3, batchSize: 4, precision: f32 }
`;

beforeAll(async () => {
  for (const folder of [project, join(base, "cache", "mahalo")]) mkdirSync(folder, { recursive: true });
  symlinkSync(join(cacheFolder(), "models"), join(base, "cache", "mahalo", "models"));
  writeFileSync(join(project, "package.json"), '{ "name": "empty", "private": true, "type": "module" }');
  writeFileSync(join(project, "recipe.yaml"), recipe);
  cpSync(tinyFolder("tiny-llama"), join(project, "model"), { recursive: true });
  for (const objective of ["accuracy", "engagement"]) {
    const rows = Array.from({ length: 8 }, (_, index) => ({
      prompt: `say ${index}`,
      chosen: `${objective} ${index}`,
      rejected: `no ${index}`,
    }));
    const lines = rows.map((row) => JSON.stringify(row)).join("\n");
    writeFileSync(join(project, `${objective}.jsonl`), lines);
  }
  await run(process.execPath, join(root, "scripts", "pack.mjs"), join(base, "tarballs"));
  const tarballs = readdirSync(join(base, "tarballs")).map((name) => join(base, "tarballs", name));
  expect(tarballs).toHaveLength(3);
  await run("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", ...tarballs);
});

test("hold what was built and no sources, tests or anything of this clone", () => {
  const files = ["mahalo", "@mahalo/torch", "@mahalo/math-verify"].flatMap((name) =>
    readdirSync(join(project, "node_modules", name), { recursive: true, encoding: "utf8" }),
  );
  expect(files.filter((name) => /(?<!\.d)\.ts$|\.test\.|testing/.test(name))).toEqual([]);
  expect(files).toContain(join("dist", "cli", "main.js"));
});

test("say before set-up what it does, and do nothing by that", async () => {
  expect((await run("npx", "mahalo", "--help")).stdout).toContain("mahalo is not set up yet");
  expect((await run("npx", "mahalo", "--version")).stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/);
  expect(readdirSync(join(base, "cache", "mahalo"))).toEqual(["models"]);
});

test("run a recipe, after their first command has set up", async () => {
  const { stderr } = await run("npx", "mahalo", "run", "recipe.yaml");
  expect(stderr).toMatch(/set-up {2}addon {5}compiled/);
  expect(existsSync(join(project, "runs", "quickstart", "report.html"))).toBe(true);
  const { stdout, stderr: again } = await run("npx", "mahalo", "--help");
  expect(stdout).toContain("Usage: mahalo");
  expect(again).toBe("");
});

test("serve what was run", async () => {
  const program = `
    import { serve } from "mahalo/serve";
    const server = await serve([{ id: "tutor", source: "runs/quickstart/align/model" }], { port: 0, log: "silent" });
    const body = { model: "tutor@accuracy=1", messages: [{ role: "user", content: "say 1" }], max_tokens: 2 };
    const headers = { "content-type": "application/json" };
    const answer = await fetch(server.url + "/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body) });
    console.log(answer.status, (await answer.json()).usage.completion_tokens);
    await server.close();
  `;
  writeFileSync(join(project, "serve.mjs"), program);
  expect((await run(process.execPath, "serve.mjs")).stdout.trim()).toBe("200 2");
});

test("take a program of the user's in", async () => {
  const body = /^```ts file=add\/command\.ts\n([\s\S]*?)^```$/m.exec(
    readFileSync(join(root, "docs", "guides", "extend.md"), "utf8"),
  )?.[1];
  // Node 20 reads no types.
  writeFileSync(join(project, "words.mjs"), body?.replaceAll(/: (string|\{ json.*?\})(?=[,)])/g, "") ?? "");
  expect((await run("npx", "mahalo", "--extend", "words.mjs", "words", "one two")).stdout).toBe("2\n");
});

/** The first TypeScript example of the README. */
const tenLines = (): string => {
  const [, body] = /^```ts run\n([\s\S]*?)^```$/m.exec(readFileSync(join(root, "README.md"), "utf8")) ?? [];
  if (body === undefined) throw new Error("the README has no example");
  return body;
};

test("type-check the README's lines in the folder, and run them", async () => {
  writeFileSync(join(project, "lines.ts"), tenLines());
  const options = {
    compilerOptions: {
      ...{ strict: true, noEmit: true, target: "ES2023", module: "NodeNext" },
      ...{ types: ["node"], typeRoots: [join(root, "node_modules", "@types")] },
    },
    files: ["lines.ts"],
  };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(options));
  await run(process.execPath, join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.json");
  // The lines have no types of their own, so that Node 20 runs them as they are.
  writeFileSync(join(project, "lines.js"), tenLines());
  expect((await run(process.execPath, "lines.js")).stdout).toContain("accuracy");
  expect(existsSync(join(project, "mixes", "accuracy-0.5", "config.json"))).toBe(true);
});
