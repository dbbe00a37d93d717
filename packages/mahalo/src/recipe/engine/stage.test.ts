/** The stage engine redoes what is stale and nothing else. */
import { mkdirSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { throwIfAborted } from "../../core/interrupt.ts";
import { type RunStagesOptions, runStages } from "./run-stages.ts";
import { inspectStages, type Stage } from "./stage.ts";
import { readStageManifest } from "./stage-manifest.ts";

type Toy = { data: { rows: number }; align: { beta: number } | false; evaluate: { mixes: number } };

let root = "";
let folder = "";
let rows = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "mahalo-stages-"));
  folder = join(root, "run");
  rows = join(root, "rows.jsonl");
  await writeFile(rows, "first");
});
afterEach(() => rm(root, { recursive: true }));

const toy: Toy = { data: { rows: 3 }, align: { beta: 0.1 }, evaluate: { mixes: 5 } };

/** Stages that write what they read; `ran` tells which bodies ran, `hook` lets a test interfere. */
const pipeline = (hook: (stage: string) => void = () => undefined, version = "1") => {
  const ran: string[] = [];
  const body: Stage<Toy>["run"] = async ({ folder: own, folderOf, resumed, recipe }) => {
    const name = own.split("/").at(-1) ?? "";
    ran.push(resumed ? `${name} resumed` : name);
    const before = { data: [], align: ["data"], evaluate: ["data", "align"] }[name] ?? [];
    const read = await Promise.all(
      before.map(async (other) => {
        const from = folderOf(other);
        return from === undefined ? "none" : await readFile(join(from, "out"), "utf8");
      }),
    );
    await writeFile(join(own, "part"), "begun");
    hook(name);
    await writeFile(join(own, "out"), JSON.stringify([name, read, recipe]));
  };
  const stages: Stage<Toy>[] = [
    {
      name: "data",
      version: "1",
      dependencies: [],
      inputs: ({ data }) => data,
      sources: () => [{ label: "pairs", locate: async () => [rows] }],
      run: body,
    },
    {
      name: "align",
      version,
      dependencies: ["data"],
      skipped: ({ align }) => align === false,
      inputs: ({ align }) => align,
      run: body,
    },
    {
      name: "evaluate",
      version: "1",
      dependencies: ["data", "align"],
      inputs: ({ evaluate }) => evaluate,
      run: body,
    },
  ];
  const run = (recipe: Toy = toy, more: Partial<RunStagesOptions> = {}) =>
    runStages(stages, recipe, { folder, seed: 0, ...more });
  return { ran, stages, run };
};

const states = async (recipe: Toy = toy, seed = 0) =>
  (await inspectStages(pipeline().stages, recipe, { folder, seed })).map(({ name, state, reasons }) => [
    name,
    state,
    ...reasons,
  ]);

describe("only what is stale is made anew", () => {
  test("nothing, when nothing changed", async () => {
    const { ran, run } = pipeline();
    expect((await run()).map(({ did }) => did)).toEqual(["ran", "ran", "ran"]);
    expect((await run()).map(({ did }) => did)).toEqual(["kept", "kept", "kept"]);
    expect(ran).toEqual(["data", "align", "evaluate"]);
    expect(await states()).toEqual([
      ["data", "fresh"],
      ["align", "fresh"],
      ["evaluate", "fresh"],
    ]);
  });

  test("what comes after a changed field, and it says which field", async () => {
    const { ran, run } = pipeline();
    await run();
    const changed = { ...toy, align: { beta: 0.2 } };
    expect(await states(changed)).toEqual([
      ["data", "fresh"],
      ["align", "stale", "beta changed"],
      ["evaluate", "stale", "align is another"],
    ]);
    await run(changed);
    expect(ran.slice(3)).toEqual(["align", "evaluate"]);
    expect(await readFile(join(folder, "evaluate", "out"), "utf8")).toContain("0.2");
  });

  test("everything, when a source file or the seed changed", async () => {
    const { run } = pipeline();
    await run();
    await writeFile(rows, "other");
    expect((await states())[0]).toEqual(["data", "stale", "the files of pairs changed"]);
    await writeFile(rows, "first");
    expect((await states())[0]).toEqual(["data", "fresh"]);
    expect((await states(toy, 1))[2]).toEqual([
      "evaluate",
      "stale",
      "the seed changed",
      "data is another",
      "align is another",
    ]);
  });

  test("what has new code", async () => {
    await pipeline().run();
    const { ran, run } = pipeline(undefined, "2");
    await run();
    expect(ran).toEqual(["align", "evaluate"]);
  });

  test("what lost a file", async () => {
    const { ran, run } = pipeline();
    await run();
    await rm(join(folder, "align", "out"));
    expect((await states())[1]).toEqual(["align", "stale", "its file out is missing or was changed"]);
    await run();
    expect(ran.slice(3)).toEqual(["align"]);
  });

  test("what was damaged, though its size stayed; a file that was only touched is kept", async () => {
    const { ran, run } = pipeline();
    await run();
    const path = join(folder, "align", "out");
    const whole = await readFile(path, "utf8");
    const { atime, mtime } = await stat(path);
    await utimes(path, atime, new Date(0));
    expect((await states())[1]).toEqual(["align", "fresh"]);
    await writeFile(path, whole.replace("align", "alibn"));
    expect((await states())[1]).toEqual(["align", "stale", "its file out is missing or was changed"]);
    await utimes(path, atime, mtime);
    await run();
    expect(ran.slice(3)).toEqual(["align"]);
    expect(await readFile(path, "utf8")).toBe(whole);
  });

  test("what was damaged behind the file system's back, where every file is read", async () => {
    const { ran, run } = pipeline();
    await run();
    const path = join(folder, "align", "out");
    const stampPath = join(folder, "align", "stage.json");
    await writeFile(path, (await readFile(path, "utf8")).replace("align", "alibn"));
    // As a flipped bit on the disk leaves it: the time of change is the one that the manifest has.
    const { mtimeNs } = await stat(path, { bigint: true });
    const manifest = await readFile(stampPath, "utf8");
    const written = (await readStageManifest(join(folder, "align")))?.outputs.out;
    if (typeof written !== "object") throw new Error("no such output");
    await writeFile(stampPath, manifest.replace(written.changed, mtimeNs.toString()));
    expect((await run()).map(({ did }) => did)).toEqual(["kept", "kept", "kept"]);
    expect((await run(toy, { verify: true })).map(({ did }) => did)).toEqual(["kept", "ran", "kept"]);
    expect((await run(toy, { verify: true })).map(({ did }) => did)).toEqual(["kept", "kept", "kept"]);
    expect(ran.slice(3)).toEqual(["align"]);
  });

  test("not what an earlier version finished, which wrote down sizes alone", async () => {
    const { run } = pipeline();
    await run();
    const path = join(folder, "align", "stage.json");
    const manifest = JSON.parse(await readFile(path, "utf8"));
    const outputs = { out: manifest.outputs.out.size, part: 5, ".model.0123456789ab.tmp/config.json": 7 };
    await writeFile(path, JSON.stringify({ ...manifest, outputs }));
    expect((await states())[1]).toEqual(["align", "fresh"]);
  });

  test("what was asked for, and all after it", async () => {
    const { ran, run } = pipeline();
    await run();
    await run(toy, { redo: "align" });
    expect(ran.slice(3)).toEqual(["align", "evaluate"]);
    await expect(run(toy, { redo: "algn" })).rejects.toMatchObject({
      code: "E_RUN_STAGE",
      hint: 'Did you mean "align"?',
    });
  });
});

test("a run may end early and go on later", async () => {
  const { ran, run } = pipeline();
  await run(toy, { until: "data" });
  expect(ran).toEqual(["data"]);
  await run();
  expect(ran).toEqual(["data", "align", "evaluate"]);
});

test("a stage that the recipe leaves out is passed over", async () => {
  const { ran, run } = pipeline();
  await run({ ...toy, align: false });
  expect(ran).toEqual(["data", "evaluate"]);
  expect(await readFile(join(folder, "evaluate", "out"), "utf8")).toContain('"none"');
});

test("stale outputs are moved away whole, and come back with their inputs", async () => {
  const { ran, run } = pipeline();
  await run();
  const first = await readFile(join(folder, "evaluate", "out"), "utf8");
  await run({ ...toy, align: { beta: 0.2 } });
  expect(await readdir(join(folder, "stale"))).toHaveLength(2);
  expect((await run()).map(({ did }) => did)).toEqual(["kept", "restored", "restored"]);
  expect(ran).toHaveLength(5);
  expect(await readFile(join(folder, "evaluate", "out"), "utf8")).toBe(first);
});

describe("a stage that was cut short", () => {
  test("is taken up in its own folder", async () => {
    const broken = pipeline((stage) => {
      if (stage === "align") throw new Error("power cut");
    });
    await expect(broken.run()).rejects.toThrow("power cut");
    expect(await states()).toEqual([
      ["data", "fresh"],
      ["align", "resumable", "it was interrupted"],
      ["evaluate", "new", "it was never run"],
    ]);
    const { ran, run } = pipeline();
    expect((await run()).map(({ did }) => did)).toEqual(["kept", "resumed", "ran"]);
    expect(ran).toEqual(["align resumed", "evaluate"]);
    expect(await readStageManifest(join(folder, "align"))).toMatchObject({ status: "done", resumes: 1 });
  });

  test("begins anew, from an empty folder, when its inputs changed meanwhile", async () => {
    const broken = pipeline((stage) => {
      if (stage === "align") throw new Error("power cut");
    });
    await expect(broken.run()).rejects.toThrow("power cut");
    const { ran, run } = pipeline();
    await run({ ...toy, align: { beta: 0.5 } });
    expect(ran).toEqual(["align", "evaluate"]);
  });

  test("by Ctrl-C ends the run and can be taken up", async () => {
    const controller = new AbortController();
    const { run } = pipeline((stage) => {
      if (stage !== "align") return;
      controller.abort();
      throwIfAborted(controller.signal, "aligning");
    });
    await expect(run(toy, { signal: controller.signal })).rejects.toMatchObject({ code: "E_INTERRUPTED" });
    expect(await readdir(folder)).not.toContain("lock");
    const { ran, run: again } = pipeline();
    await again();
    expect(ran).toEqual(["align resumed", "evaluate"]);
  });
});

test("what a killed run left half written is never an output, and the next run takes it away", async () => {
  const leave = async (inside: string): Promise<void> => {
    await mkdir(join(inside, ".mahalo-0123456789ab.tmp"), { recursive: true });
    await mkdir(join(inside, ".model.0123456789ab.tmp"));
    await mkdir(join(inside, "checkpoint.77.tmp"));
    await writeFile(join(inside, ".model.0123456789ab.tmp", "model.safetensors"), "half");
    await writeFile(join(inside, ".0123456789ab.tmp"), "half");
  };
  const { run } = pipeline(
    (stage) => stage === "align" && mkdirSync(join(folder, stage, ".mahalo-0123456789ab.tmp")),
  );
  await leave(join(folder, "align"));
  await writeFile(join(folder, "lock"), "");
  await writeFile(join(folder, "lock.0123456789ab"), "");
  await writeFile(join(folder, ".0123456789ab.tmp"), "");
  await run();
  expect(Object.keys((await readStageManifest(join(folder, "align")))?.outputs ?? {})).toEqual([
    "out",
    "part",
  ]);
  await leave(join(folder, "align"));
  expect((await run()).map(({ did }) => did)).toEqual(["kept", "kept", "kept"]);
  expect((await readdir(join(folder, "align"))).sort()).toEqual(["out", "part", "stage.json"]);
  expect((await readdir(folder)).sort()).toEqual(["align", "data", "evaluate", "hashes.json"]);
});

test("files in a stage's folder that no manifest explains are moved away, not mixed", async () => {
  await mkdir(join(folder, "data"), { recursive: true });
  await writeFile(join(folder, "data", "foreign"), "x");
  await pipeline().run();
  expect(await readdir(join(folder, "data"))).not.toContain("foreign");
  expect(await readdir(join(folder, "stale"))).toEqual(["data-unknown"]);
});

test("a stage whose files are not on this machine has no key until they are fetched", async () => {
  const { stages, run } = pipeline();
  const [data] = stages;
  if (data === undefined) throw new Error("no stage");
  let fetched = 0;
  stages[0] = {
    ...data,
    sources: () => [
      {
        label: "pairs",
        locate: async ({ fetch }) => {
          if (!fetch) return undefined;
          fetched += 1;
          return [rows];
        },
      },
    ],
  };
  expect(
    (await inspectStages(stages, toy, { folder, seed: 0 })).map(({ name, key, reasons }) => [
      name,
      key,
      ...reasons,
    ]),
  ).toEqual([
    ["data", undefined, "the files of pairs are not here yet"],
    ["align", undefined, "data is not known yet"],
    ["evaluate", undefined, "data is not known yet", "align is not known yet"],
  ]);
  await run();
  expect(fetched).toBe(1);
});
