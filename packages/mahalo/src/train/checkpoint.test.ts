/** Checkpoints: bits come back, half-written ones do not count, and those of another run are refused untouched. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Optimizer, type Tensor, tensor, type UpdateRule } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import { rng } from "../core/random.ts";
import { normal } from "../core/testing/normal.ts";
import { withFolder } from "../model/testing/tiny.ts";
import { type ComputeDType, type Parameter, parameter } from "../model/transformer/parameters.ts";
import { clearCheckpoints, latestCheckpoint, loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { optimizerRules } from "./options.ts";

type Shapes = Record<string, number[]>;
type State = { steps: number; parameters: Parameter[]; optimizer: Optimizer };

/** Seeded parameters and an optimizer that has made some updates. */
const makeState = ({
  shapes = { a: [3, 4], b: [4] },
  compute = "float32",
  rule = optimizerRules.adamw(0),
  seed = 1,
  updates = 3,
  steps = 10,
}: {
  shapes?: Shapes;
  compute?: ComputeDType;
  rule?: UpdateRule;
  seed?: number;
  updates?: number;
  steps?: number;
} = {}): State => {
  const random = rng(seed, "checkpoint");
  const noise = (shape: readonly number[]): Tensor =>
    tensor(
      Float32Array.from({ length: shape.reduce((all, size) => all * size, 1) }, () => normal(random)),
      { shape },
    );
  const parameters = Object.entries(shapes).map(([name, shape]) =>
    parameter(name, noise(shape), { compute, training: true }),
  );
  const masters = new Map(
    parameters.flatMap((parameter) => (parameter.master ? [[parameter.name, parameter.master]] : [])),
  );
  const optimizer = new Optimizer(masters, rule, { learningRate: 0.01 });
  for (let i = 0; i < updates; i++) {
    for (const master of masters.values()) master.grad = noise(master.shape);
    optimizer.step();
  }
  optimizer.zeroGrad();
  for (const parameter of parameters) parameter.syncFromMaster();
  return { steps, parameters, optimizer };
};

/** Everything that a checkpoint holds, bit for bit. */
const contents = ({ parameters, optimizer }: State) => ({
  masters: parameters.map((parameter) => parameter.float().toTypedArray()),
  values: parameters.map((parameter) => parameter.value.toTypedArray()),
  moments: [...optimizer.state()].map(([name, values]) => [name, values.toTypedArray()]),
});

const saved = async (folder: string, step: number, state = makeState()): Promise<string> => {
  await saveCheckpoint(folder, { step, ...state });
  return join(folder, `checkpoint-${step}`);
};

describe("a checkpoint", () => {
  test.each(["float32", "bfloat16"] as const)(
    "gives weights and moments back bit for bit, in %s",
    (compute) =>
      withFolder(async (folder) => {
        const state = makeState({ compute });
        const path = await saved(folder, 3, state);
        const fresh = makeState({ compute, seed: 2, updates: 0 });
        expect(contents(fresh)).not.toEqual(contents(state));
        expect(await loadCheckpoint(path, fresh)).toBe(3);
        expect(contents(fresh)).toEqual(contents(state));
      }),
  );

  test("of the same state is the same bytes", () =>
    withFolder(async (folder) => {
      const paths = [await saved(join(folder, "a"), 3), await saved(join(folder, "b"), 3)];
      const [a, b] = paths.map((path) =>
        readdirSync(path).map((name) => [name, readFileSync(join(path, name)).toString("base64")]),
      );
      expect(a?.map(([name]) => name)).toEqual([
        "optimizer.safetensors",
        "state.json",
        "weights.safetensors",
      ]);
      expect(a).toEqual(b);
    }));

  test("takes the place of the one before, which stays until it is whole", () =>
    withFolder(async (folder) => {
      const first = await saved(folder, 3);
      const broken = makeState();
      broken.optimizer.state = () => {
        throw new Error("the disk is full");
      };
      await expect(saveCheckpoint(folder, { step: 6, ...broken })).rejects.toThrow("the disk is full");
      expect(latestCheckpoint(folder)).toEqual({ path: first, step: 3 });
      expect(await loadCheckpoint(first, makeState({ seed: 2, updates: 0 }))).toBe(3);

      const second = await saved(folder, 6);
      expect(readdirSync(folder)).toEqual(["checkpoint-6"]);
      expect(latestCheckpoint(folder)).toEqual({ path: second, step: 6 });
    }));

  test("is the newest by number; what is half-written or called otherwise does not count", () =>
    withFolder(async (folder) => {
      expect(latestCheckpoint(join(folder, "none"))).toBeUndefined();
      expect(latestCheckpoint(folder)).toBeUndefined();
      for (const name of ["checkpoint.77.tmp", "checkpoint-x", "checkpoint-5-old", "old-checkpoint-9"]) {
        mkdirSync(join(folder, name));
      }
      expect(latestCheckpoint(folder)).toBeUndefined();
      await saved(join(folder, "elsewhere"), 9);
      for (const step of [9, 10]) {
        cpSync(join(folder, "elsewhere", "checkpoint-9"), join(folder, `checkpoint-${step}`), {
          recursive: true,
        });
      }
      expect(latestCheckpoint(folder)?.step).toBe(10);
    }));

  test("goes with what interrupted writes left, and nothing else does, when all are cleared", () =>
    withFolder(async (folder) => {
      await saved(folder, 3);
      mkdirSync(join(folder, "checkpoint.77.tmp"));
      mkdirSync(join(folder, "model"));
      writeFileSync(join(folder, "metrics.jsonl"), "");
      clearCheckpoints(folder);
      expect(readdirSync(folder).sort()).toEqual(["metrics.jsonl", "model"]);
      expect(() => clearCheckpoints(join(folder, "none"))).not.toThrow();
    }));
});

describe("a checkpoint is refused, and nothing changes,", () => {
  const refusal = async (
    folder: string,
    fresh: State,
    wanted: { code: string; message?: unknown },
  ): Promise<void> => {
    const path = latestCheckpoint(folder)?.path ?? "";
    const before = contents(fresh);
    await expect(loadCheckpoint(path, fresh)).rejects.toMatchObject(wanted);
    expect(contents(fresh)).toEqual(before);
  };

  test("when it is of a run of another length", () =>
    withFolder(async (folder) => {
      await saved(folder, 3);
      await refusal(folder, makeState({ seed: 2, steps: 11 }), {
        code: "E_CHECKPOINT",
        message: expect.stringMatching(/checkpoint-3: .*10 steps.*11/),
      });
    }));

  test.each<[string, Shapes]>([
    ["fewer", { a: [3, 4] }],
    ["more", { a: [3, 4], b: [4], c: [2] }],
    ["other", { a: [3, 4], c: [4] }],
    ["wider", { a: [3, 5], b: [4] }],
  ])("when the run trains %s parameters", (_, shapes) =>
    withFolder(async (folder) => {
      await saved(folder, 3);
      await refusal(folder, makeState({ shapes, seed: 2 }), {
        code: "E_CHECKPOINT",
        message: expect.stringContaining("checkpoint-3"),
      });
    }),
  );

  test("when its weights would have to be spread out to fit, as those of rank 1 would", () =>
    withFolder(async (folder) => {
      const rule = optimizerRules.sgd(0);
      await saved(folder, 3, makeState({ rule, shapes: { down: [1, 4] } }));
      await refusal(folder, makeState({ rule, shapes: { down: [3, 4] }, seed: 2 }), {
        code: "E_CHECKPOINT",
        message: expect.stringMatching(/down.*\[1,4\].*\[3,4\]/),
      });
    }));

  test("when it is of another optimizer", () =>
    withFolder(async (folder) => {
      await saved(folder, 3);
      await refusal(folder, makeState({ rule: optimizerRules.rmsprop(0), seed: 2 }), {
        code: "E_OPTIM_STATE",
      });
    }));

  test.each(["weights.safetensors", "optimizer.safetensors", "state.json"])(
    "when its %s is damaged or gone",
    (name) =>
      withFolder(async (folder) => {
        const path = await saved(folder, 3);
        const file = join(path, name);
        const code = expect.stringMatching(/^E_(SAFETENSORS|JSON)/);
        const message = expect.stringContaining(file);
        truncateSync(file, 12);
        await refusal(folder, makeState({ seed: 2 }), { code, message });
        rmSync(file);
        await refusal(folder, makeState({ seed: 2 }), {
          code: expect.stringMatching(/^E_(SAFETENSORS_FILE|FILE_READ)/),
          message,
        });
      }),
  );

  test("when the model was loaded for inference", () =>
    withFolder(async (folder) => {
      const path = await saved(folder, 3, makeState({ shapes: { a: [2] } }));
      const fresh = makeState({ shapes: { a: [2] }, updates: 0 });
      const inference = parameter("a", tensor([1, 2]), { compute: "float32", training: false });
      await expect(loadCheckpoint(path, { ...fresh, parameters: [inference] })).rejects.toMatchObject({
        code: "E_MODEL_NOT_TRAINABLE",
      });
      expect(inference.value.toFloat32Array()).toEqual(Float32Array.of(1, 2));
    }));
});
