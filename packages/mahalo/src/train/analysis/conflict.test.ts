/** Conflicts of gradients: exact cosines, PCGrad by inner products as by vectors, and a step that is otherwise the same. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { rng } from "../../core/random.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import { clearGradients, gradientsOf, trainAll } from "../../model/testing/gradients.ts";
import { distance, withFolder } from "../../model/testing/tiny.ts";
import { readMetrics } from "../metrics.ts";
import { accumulateGradients } from "../step.ts";
import type { TaskRow } from "../task.ts";
import { expectClose } from "../testing/compare.ts";
import { alignedModel, OBJECTIVES, pairTask, stepGradients, trainOptions } from "../testing/fixture.ts";
import { setTrainable, train } from "../trainer.ts";
import { cosines, passByObjective, projectConflicts } from "./conflict.ts";

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
};
const gramOf = (vectors: readonly number[][]): number[][] =>
  vectors.map((a) => vectors.map((b) => dot(a, b)));

/** PCGrad as it is written down, over vectors. */
const plain = (vectors: readonly number[][], random: ReturnType<typeof rng>): number[] => {
  const sum = (vectors[0] ?? []).map(() => 0);
  for (const [i, vector] of vectors.entries()) {
    let own = [...vector];
    for (const j of random.shuffle(vectors.map((_, k) => k).filter((k) => k !== i))) {
      const other = vectors[j] ?? [];
      const product = dot(own, other);
      if (product >= 0) continue;
      const share = product / dot(other, other);
      own = own.map((value, d) => value - share * (other[d] ?? 0));
    }
    for (const [d, value] of own.entries()) sum[d] = (sum[d] ?? 0) + value;
  }
  return sum;
};

describe("projection of conflicting gradients", () => {
  const vectors = fc.integer({ min: 2, max: 4 }).chain((count) =>
    fc.array(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 5, maxLength: 5 }), {
      minLength: count,
      maxLength: count,
    }),
  );

  test("by inner products is projection of the vectors", () => {
    fc.assert(
      fc.property(vectors, fc.nat(), (all, seed) => {
        const { coefficients } = projectConflicts(gramOf(all), rng(seed, "order"));
        const found = (all[0] ?? []).map((_, d) =>
          all.reduce((sum, vector, k) => sum + (coefficients[k] ?? 0) * (vector[d] ?? 0), 0),
        );
        for (const [d, value] of plain(all, rng(seed, "order")).entries())
          expect(found[d]).toBeCloseTo(value, 6);
      }),
    );
  });

  test("leaves gradients alone that do not conflict", () => {
    const gram = gramOf([
      [1, 2, 0],
      [0, 1, 5],
    ]);
    expect(projectConflicts(gram, rng(0))).toEqual({ coefficients: [1, 1], projections: 0 });
  });

  test("of two objectives leaves neither worse off, to first order", () => {
    fc.assert(
      fc.property(vectors, (all) => {
        const two = all.slice(0, 2);
        const sum = plain(two, rng(1));
        for (const own of two) expect(dot(sum, own)).toBeGreaterThan(-1e-9);
      }),
    );
  });

  test("has a worked example", () => {
    const gram = [
      [1, -1],
      [-1, 4],
    ];
    expect(projectConflicts(gram, rng(0))).toEqual({ coefficients: [2, 1.25], projections: 2 });
    expect(cosines(gram, ["brief", "kind"])).toEqual({ "brief~kind": -0.5 });
    expect(
      cosines(
        [
          [0, 0],
          [0, 4],
        ],
        ["brief", "kind"],
      ),
    ).toEqual({});
  });
});

describe("a step by objectives", () => {
  let model: LanguageModel;
  beforeEach(async () => {
    model = await alignedModel();
  });
  afterEach(() => model.dispose());

  const task = pairTask();
  const rows = task.rows(0);
  /** Gradients of some rows of the step, or of all of it objective by objective. */
  const step = (forwardWithoutGrad: boolean, project: boolean, only?: string) => {
    const trained = trainAll(model);
    clearGradients(model);
    const pass = (some: readonly TaskRow[]): void => {
      accumulateGradients(model, some, (row, values) => task.loss(row, values, rows), {
        maxTokensPerMicrobatch: 10_000,
        trained,
      });
    };
    if (only !== undefined) {
      pass(rows.filter(({ objective }) => objective === only));
      return { metrics: {}, gradients: gradientsOf(model) };
    }
    const metrics = passByObjective(rows, trained, pass, { forwardWithoutGrad, project, random: rng(1) });
    return { metrics, gradients: gradientsOf(model) };
  };
  const isShared = (name: string): boolean => !name.startsWith("heads.");
  const flat = (gradients: Map<string, Float32Array>, keep = isShared): number[] =>
    [...gradients].filter(([name]) => keep(name)).flatMap(([, values]) => [...values]);

  test("has the gradients of one pass, to rounding", () => {
    const whole = stepGradients(model, task, trainAll(model));
    expectClose(step(true, false).gradients, whole.gradients, 1e-5);
  });

  test("tells the cosine of the objectives' gradients, over all and by layer", () => {
    const [a, b] = OBJECTIVES.map((name) => step(false, false, name).gradients);
    const cosine = (keep: (name: string) => boolean): number => {
      const [x, y] = [flat(a ?? new Map(), keep), flat(b ?? new Map(), keep)];
      return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
    };
    const { metrics } = step(true, false);
    const name = "conflict/accuracy~engagement";
    expect(metrics[name]).toBeCloseTo(cosine(isShared), 4);
    const first = cosine((one) => one.startsWith("model.layers.0."));
    expect(metrics[`${name}/layer_00`]).toBeCloseTo(first, 4);
    expect(Object.keys(metrics).length).toBe(2 + model.backbone.weights.layers.length);
  });

  test("projects the shared weights' gradients and no head's", () => {
    const own = OBJECTIVES.map((name) => step(false, false, name).gradients);
    const { metrics, gradients } = step(false, true);
    const expected = plain(
      own.map((one) => flat(one)),
      rng(1),
    );
    const found = flat(gradients);
    const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(distance(found, expected) / scale).toBeLessThan(1e-4);
    expect(metrics).toHaveProperty("conflict/projections");
    for (const [index, name] of OBJECTIVES.entries()) {
      const head = `heads.${name}.weight`;
      const [ours, theirs] = [gradients.get(head) ?? [], own[index]?.get(head) ?? []];
      expect(distance(ours, theirs)).toBe(0);
    }
  });

  test("is measured as often as told", () =>
    withFolder(async (folder) => {
      const options = trainOptions({ conflict: { every: 2, project: false } });
      const three = pairTask({ steps: 3 });
      const trained = setTrainable(model, "full", model.heads.parameters(), 1);
      await train(model, three, options, trained, { folder, seed: 1 });
      const lines = await readMetrics(`${folder}/metrics.jsonl`);
      expect(lines.map((line) => "conflict/accuracy~engagement" in line)).toEqual([true, false, true]);
    }));
});
