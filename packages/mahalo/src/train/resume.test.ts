/** Runs that repeat and resume byte for byte, wherever they were stopped, and checkpoints that are whole or not there. */
import { appendFileSync, cpSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import { withFolder } from "../model/testing/tiny.ts";
import { interiorMixes } from "./interior-mixes.ts";
import { metricsFile, type PairRecord, readMetrics } from "./metrics.ts";
import { OBJECTIVES } from "./testing/fixture.ts";
import {
  alignTask,
  CRASH,
  checkpointOf,
  checkpoints,
  digestsOf,
  type Ended,
  fineTuneTask,
  go,
  groupDroTask,
  type Run,
  STEPS,
  text,
} from "./testing/run.ts";

beforeAll(() => silenceProgress(true));
afterAll(() => silenceProgress(false));

/** Runs whose parts a checkpoint must hold. */
const kinds: [string, Omit<Run, "folder">][] = [
  ["full, adamw", { options: { optimizer: "adamw", weightDecay: 0.1, evaluateEvery: 2 } }],
  ["full, rmsprop with schedule", { options: { optimizer: "rmsprop", schedule: "cosine", warmup: 2 } }],
  ["low-rank, bfloat16", { compute: "bfloat16", options: { train: { lora: { rank: 2, alpha: 4 } } } }],
  ["last layer, sgd", { options: { train: { lastLayers: 1 }, optimizer: "sgd", checkpointing: true } }],
  [
    "adapters under drawn mixes, bfloat16",
    {
      compute: "bfloat16",
      options: {
        train: { adapters: { rank: 2, alpha: 4, lastLayers: 1, modules: ["o_proj"], shared: true } },
      },
      task: () => alignTask({ mixOf: interiorMixes(OBJECTIVES, { share: 0.5, seed: 1 }) }),
    },
  ],
  ["a task that learns weights", { task: groupDroTask }],
  ["fine-tuning", { task: fineTuneTask, heads: (model) => [model.heads.base] }],
];

describe.each(kinds)("a run (%s)", (_, kind) => {
  test("stopped after any step and resumed has the logs, weights, moments and data order of one that was not", () =>
    withFolder(async (root) => {
      // Its last checkpoint stays, moments and all, since it too is stopped: after its last step.
      const straight = await go({ ...kind, folder: join(root, "straight"), stopAfter: STEPS });
      expect(straight.error).toMatchObject({ code: "E_INTERRUPTED" });
      expect(straight.order).toHaveLength(STEPS);
      for (let stop = 1; stop < STEPS; stop++) {
        const folder = join(root, `stopped-${stop}`);
        const first = await go({ ...kind, folder, stopAfter: stop });
        expect(first.error).toMatchObject({ code: "E_INTERRUPTED", exitStatus: 1 });
        expect(first.order).toHaveLength(stop);
        const second = await go({ ...kind, folder, stopAfter: STEPS });
        expect([...first.order, ...second.order.slice(stop)]).toEqual(straight.order);
        expect(second.order.slice(0, stop).flat()).toEqual([]);
        expect(text(folder)).toBe(text(join(root, "straight")));
        expect(digestsOf(second)).toEqual(digestsOf(straight));
        expect(checkpointOf(folder)).toEqual(checkpointOf(join(root, "straight")));
        for (const { model } of [first, second]) model.dispose();
      }
      straight.model.dispose();
    }));
});

describe("a task that is prepared", () => {
  test("sees the records of a whole step, in its order, before any slope is asked for", () =>
    withFolder(async (folder) => {
      const task = alignTask();
      const events: string[][] = [];
      const { error, model } = await go({
        folder,
        options: { maxTokensPerMicrobatch: 40, evaluateEvery: "never" },
        task: () => ({
          ...task,
          prepare: (records: readonly PairRecord[]) => {
            events.push(records.map(({ objective }) => objective));
          },
          loss: (row, values, step) => {
            events.push([]);
            return task.loss(row, values, step);
          },
        }),
      });
      expect(error).toBeUndefined();
      const steps = Array.from({ length: STEPS }, (_, step) => task.rows(step));
      // Each row's loss is asked for twice: without gradients, and with.
      const expected = steps.flatMap((rows) => [
        ...rows.map(() => []),
        rows.map(({ objective }) => objective),
        ...rows.map(() => []),
      ]);
      expect(events).toEqual(expected);
      model.dispose();
    }));

  test("is refused a checkpoint that has no state of it, and another task one that has", () =>
    withFolder(async (root) => {
      const [plain, stateful] = [join(root, "plain"), join(root, "stateful")];
      for (const { model } of [
        await go({ folder: plain, stopAfter: 2 }),
        await go({ folder: stateful, stopAfter: 2, task: groupDroTask }),
      ])
        model.dispose();
      const swapped = [await go({ folder: plain, task: groupDroTask }), await go({ folder: stateful })];
      expect(swapped.map(({ error }) => error)).toEqual([
        expect.objectContaining({ code: "E_CHECKPOINT", message: expect.stringContaining("no state") }),
        expect.objectContaining({ code: "E_CHECKPOINT", message: expect.stringContaining("another task") }),
      ]);
      for (const { model } of swapped) model.dispose();
    }));
});

describe("a run", () => {
  test("that goes down before any step, between checkpoints too, ends as one that did not", () =>
    withFolder(async (root) => {
      const options = { saveEvery: 2, evaluateEvery: 2 };
      const straight = await go({ folder: join(root, "straight"), options });
      expect(straight.error).toBeUndefined();
      for (let failAt = 0; failAt < STEPS; failAt++) {
        const folder = join(root, `down-${failAt}`);
        const first = await go({ folder, options, failAt });
        expect(first.error).toBe(CRASH);
        // A line that was being written.
        appendFileSync(join(folder, metricsFile), '{"step":9,"los');
        const second = await go({ folder, options });
        expect(second.error).toBeUndefined();
        expect(second.order.findIndex((rows) => rows !== undefined)).toBe(failAt - (failAt % 2));
        expect(text(folder)).toBe(text(join(root, "straight")));
        expect(digestsOf(second)).toEqual(digestsOf(straight));
        for (const { model } of [first, second]) model.dispose();
      }
      straight.model.dispose();
    }));

  test("stopped after every single step ends as one that was not", () =>
    withFolder(async (root) => {
      const straight = await go({ folder: join(root, "straight") });
      let last: Ended | undefined;
      for (let stop = 1; stop <= STEPS + 1; stop++) {
        last?.model.dispose();
        last = await go({ folder: join(root, "steps"), stopAfter: stop });
      }
      expect(last?.error).toBeUndefined();
      expect(text(join(root, "steps"))).toBe(text(join(root, "straight")));
      if (last !== undefined) expect(digestsOf(last)).toEqual(digestsOf(straight));
      straight.model.dispose();
      last?.model.dispose();
    }));

  test("stopped after its last step has nothing left to do, and gives its last metrics", () =>
    withFolder(async (folder) => {
      const first = await go({ folder, stopAfter: STEPS });
      const second = await go({ folder });
      expect(second.order).toEqual([]);
      expect(second.error).toBeUndefined();
      expect(digestsOf(second)).toEqual(digestsOf(first));
      const rows = (await readMetrics(join(folder, metricsFile))).filter(({ step }) => step === STEPS);
      expect(rows).toHaveLength(2);
      expect({ step: STEPS, ...second.last }).toEqual(Object.assign({}, ...rows));
      expect(checkpoints(folder)).toEqual([]);
      for (const { model } of [first, second]) model.dispose();
    }));

  test("twice with one seed has the same bytes, and with another seed other rows", () =>
    withFolder(async (root) => {
      const options = { train: { lora: { rank: 2, alpha: 4 } } };
      const [a, b, c] = [
        await go({ folder: join(root, "a"), options, seed: 1 }),
        await go({ folder: join(root, "b"), options, seed: 1 }),
        await go({ folder: join(root, "c"), options, seed: 2 }),
      ];
      expect(text(join(root, "a"))).toBe(text(join(root, "b")));
      expect(digestsOf(a)).toEqual(digestsOf(b));
      expect(a.order).toEqual(b.order);
      expect(a.order).not.toEqual(c.order);
      for (const { model } of [a, b, c]) model.dispose();
    }));

  test("passes over a checkpoint that was being written, and goes on from the whole one", () =>
    withFolder(async (root) => {
      const straight = await go({ folder: join(root, "straight") });
      const folder = join(root, "half");
      const first = await go({ folder, stopAfter: 2 });
      cpSync(join(folder, "checkpoint-2"), join(folder, "checkpoint.77.tmp"), { recursive: true });
      truncateSync(join(folder, "checkpoint.77.tmp", "weights.safetensors"), 100);
      const second = await go({ folder });
      expect(second.order.findIndex((rows) => rows !== undefined)).toBe(2);
      expect(digestsOf(second)).toEqual(digestsOf(straight));
      expect(checkpoints(folder)).toEqual([]);
      for (const { model } of [straight, first, second]) model.dispose();
    }));

  test("with a damaged checkpoint is an error that names the file, before anything is trained or logged", () =>
    withFolder(async (folder) => {
      const first = await go({ folder, stopAfter: 2 });
      const before = text(folder);
      const file = join(folder, "checkpoint-2", "weights.safetensors");
      truncateSync(file, 1000);
      const second = await go({ folder });
      expect(second.error).toMatchObject({
        code: "E_SAFETENSORS",
        message: expect.stringContaining(file),
      });
      expect(second.order).toEqual([]);
      expect(text(folder)).toBe(before);
      for (const { model } of [first, second]) model.dispose();
    }));

  test("told not to resume begins anew, and leaves no checkpoint of the run before to resume from", () =>
    withFolder(async (root) => {
      const straight = await go({ folder: join(root, "straight") });
      const folder = join(root, "anew");
      const old = await go({ folder, stopAfter: 4, seed: 2 });
      // Goes down before its first checkpoint.
      const first = await go({ folder, resume: false, failAt: 1 });
      expect(first.error).toBe(CRASH);
      const second = await go({ folder });
      expect(second.order).toHaveLength(STEPS);
      expect(text(folder)).toBe(text(join(root, "straight")));
      expect(digestsOf(second)).toEqual(digestsOf(straight));
      for (const { model } of [straight, old, first, second]) model.dispose();
    }));

  test("keeps its newest checkpoint while it runs and none once it has ended", () =>
    withFolder(async (folder) => {
      const first = await go({ folder, options: { saveEvery: 2 }, failAt: 5 });
      expect(checkpoints(folder)).toEqual(["checkpoint-4"]);
      const second = await go({ folder, options: { saveEvery: 2 } });
      expect(checkpoints(folder)).toEqual([]);
      for (const { model } of [first, second]) model.dispose();
    }));
});
