/** Hidden states on disk: what one run has read another does not compute, and damage or another backbone is never read. */
import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getThreads, scope, setThreads, type Tensor, tensor } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { element } from "../core/need.ts";
import { silenceProgress } from "../core/progress.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { withFolder } from "../model/testing/tiny.ts";
import { forwardWithoutGrad } from "./forward.ts";
import { HiddenCache } from "./hidden-cache.ts";
import { HiddenStore, type HiddenStoreOptions } from "./hidden-store.ts";
import { StateCache } from "./state-cache.ts";
import { alignedModel, pairTask } from "./testing/fixture.ts";

let model: LanguageModel;
beforeAll(async () => {
  silenceProgress(true);
  model = await alignedModel();
});
afterAll(() => {
  silenceProgress(false);
  model.dispose();
});

const rows = pairTask().rows(0);
const open = (folder: string, options: Partial<HiddenStoreOptions> = {}): HiddenStore =>
  new HiddenStore({ folder, weights: "a", compute: "float32", maxBytes: 1e9, ...options });
const states = (...values: number[]): Tensor => tensor(values, { shape: [values.length, 1] });
const valuesOf = (store: HiddenStore, key: string): number[] | undefined =>
  scope(() => {
    const found = store.read(key);
    return found === undefined ? undefined : [...found.toFloat32Array()];
  });
const write = (store: HiddenStore, given: Record<string, number[]>): void =>
  scope(() => store.write(new Map(Object.entries(given).map(([key, values]) => [key, states(...values)]))));

/** Values of all rows with a store's states. @param never the backbone must not be asked */
const valuesWith = (store: HiddenStore, never: boolean): Float32Array[] => {
  const cache = new StateCache({ store });
  const hidden = new HiddenCache(model.backbone, cache);
  const { forward } = model.backbone;
  if (never)
    model.backbone.forward = () => {
      throw new Error("computed again");
    };
  try {
    const values = forwardWithoutGrad(model, rows, { maxTokensPerMicrobatch: 40, hidden }).flat();
    cache.save((line) => expect.fail(line));
    return values;
  } finally {
    model.backbone.forward = forward;
    cache.dispose();
  }
};

describe("a store of hidden states", () => {
  test("gives another run the same bytes, without the backbone", () =>
    withFolder(async (folder) => {
      const first = valuesWith(open(folder), false);
      expect(readdirSync(folder)).toHaveLength(1);
      expect(valuesWith(open(folder), true)).toEqual(first);
      expect(readdirSync(folder)).toHaveLength(1);
    }));

  test("is another one for other weights and another dtype", () =>
    withFolder(async (folder) => {
      write(open(folder), { x: [1] });
      expect([open(folder).rows, open(folder, { weights: "b" }).rows]).toEqual([1, 0]);
      expect(open(folder, { compute: "bfloat16" }).rows).toBe(0);
    }));

  test("is another one for another number of threads, which sums in another order", () =>
    withFolder(async (folder) => {
      write(open(folder), { x: [1] });
      const threads = getThreads();
      setThreads(threads + 1);
      try {
        expect(open(folder).rows).toBe(0);
      } finally {
        setThreads(threads);
      }
      expect(open(folder).rows).toBe(1);
    }));

  test("takes away what a killed run left half written", () =>
    withFolder(async (folder) => {
      writeFileSync(join(folder, ".mahalo-0123456789ab.tmp"), "half");
      write(open(folder), { x: [1] });
      expect(readdirSync(folder)).toEqual([expect.stringMatching(/^states-.*\.safetensors$/)]);
    }));

  test("takes only what is new, in a file of its own", () =>
    withFolder(async (folder) => {
      const store = open(folder);
      write(store, { x: [1, 2] });
      write(store, { x: [1, 2] });
      expect(readdirSync(folder)).toHaveLength(1);
      write(open(folder), { x: [9, 9], y: [3] });
      const both = open(folder);
      expect([valuesOf(both, "x"), valuesOf(both, "y"), valuesOf(both, "z")]).toEqual([
        [1, 2],
        [3],
        undefined,
      ]);
      expect(readdirSync(folder)).toHaveLength(2);
    }));

  test("lets the files go that were used longest ago, and keeps nothing that is larger than the bound", () =>
    withFolder(async (folder) => {
      write(open(folder), { old: [1, 2, 3, 4] });
      const [name] = readdirSync(folder);
      const path = join(folder, name ?? "");
      const size = readFileSync(path).length;
      utimesSync(path, new Date(0), new Date(0));
      write(open(folder, { maxBytes: size + 15, weights: "b" }), { young: [1, 2, 3, 4] });
      expect(open(folder).rows).toBe(0);
      expect(open(folder, { weights: "b" }).rows).toBe(1);
      write(open(folder, { maxBytes: 3 }), { large: [1] });
      expect(readdirSync(folder)).toHaveLength(1);
    }));

  test("passes over a row whose bytes have changed, and over a folder that is none", () =>
    withFolder(async (folder) => {
      write(open(folder), { x: [1, 2], y: [3] });
      const path = join(folder, element(readdirSync(folder), 0));
      const bytes = readFileSync(path);
      const start = bytes.indexOf(Buffer.from(Float32Array.of(1, 2).buffer));
      bytes.writeUInt8(bytes.readUInt8(start) ^ 1, start);
      writeFileSync(path, bytes);
      const store = open(folder);
      expect([valuesOf(store, "x"), valuesOf(store, "y")]).toEqual([undefined, [3]]);
      expect(open(path).rows).toBe(0);
    }));

  test("passes over a damaged file, and tells of a place that cannot be written to", () =>
    withFolder(async (folder) => {
      write(open(folder), { x: [1] });
      const path = join(folder, element(readdirSync(folder), 0));
      writeFileSync(path, readFileSync(path).subarray(0, 20));
      expect(open(folder).rows).toBe(0);
      const cache = new StateCache({ store: open(join(path, "below")) });
      const hidden = new HiddenCache(model.backbone, cache);
      const lines: string[] = [];
      forwardWithoutGrad(model, rows.slice(0, 1), { maxTokensPerMicrobatch: 40, hidden });
      cache.save((line) => lines.push(line));
      cache.dispose();
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/^hidden states are not kept for later runs: /);
    }));
});
