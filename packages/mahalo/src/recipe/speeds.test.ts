/** Measured speeds are kept for the next plan, each under what decides them; what was disturbed is not. */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Load } from "../core/busy.ts";
import { silenceProgress } from "../core/progress.ts";
import { openModelSource } from "../model/folder/source.ts";
import { tinyFolder, withFolder } from "../model/testing/tiny.ts";
import { type MeasureOptions, measureSpeeds } from "./measure.ts";
import { speedsKey, thisMachine } from "./speeds.ts";
import { fixedSpeeds } from "./testing/machine.ts";
import type { Speeds } from "./work.ts";

const source = await openModelSource(tinyFolder("tiny-llama"));
silenceProgress(true);
const f32: MeasureOptions = { compute: "float32", lora: false };
const quiet: Load = { others: 0, processors: 2, threads: 2 };
const watching = (load: Load) => () => async () => load;

test("a measurement is kept and taken up again, byte for byte, until it is asked for again", async () => {
  await withFolder(async (folder) => {
    let measured = 0;
    const { lora: _, ...without } = fixedSpeeds;
    const measure = async (_source: unknown, { lora }: MeasureOptions) => {
      measured++;
      return { speeds: { ...(lora ? fixedSpeeds : without), update: measured / 3 }, spread: 1.05 };
    };
    const speeds = (options: Partial<MeasureOptions> = {}, again = false) =>
      thisMachine({ folder, measure, again, watch: watching(quiet) }).speeds(source, { ...f32, ...options });
    const first = await speeds();
    expect(first?.of).toBe("quiet");
    expect(await speeds()).toEqual(first);
    expect(measured).toBe(1);
    expect((await speeds({}, true))?.speeds.update).toBe(2 / 3);
    expect((await speeds())?.speeds.update).toBe(2 / 3);
    await speeds({ compute: "bfloat16" });
    // What was not measured then is measured when it is needed, and serves all from then on.
    expect((await speeds({ lora: true }))?.speeds.lora).toEqual(fixedSpeeds.lora);
    await speeds();
    expect(measured).toBe(4);
    const files = await readdir(folder);
    expect(files).toHaveLength(2);
    for (const file of files) await writeFile(join(folder, file), '{"forward": 1}');
    await speeds();
    expect(measured).toBe(5);
  });
});

test("what others or the repeats themselves disturbed is used once and not kept", async () => {
  await withFolder(async (folder) => {
    const speeds = (spread: number, load: Load) =>
      thisMachine({
        folder,
        measure: async () => ({ speeds: fixedSpeeds, spread }),
        watch: watching(load),
      }).speeds(source, f32);
    expect(await speeds(1.05, { ...quiet, others: 1 })).toEqual({ speeds: fixedSpeeds, of: "busy" });
    expect((await speeds(2, quiet))?.of).toBe("busy");
    expect(await readdir(folder)).toEqual([]);
    expect((await speeds(1.05, quiet))?.of).toBe("quiet");
    // A quiet measurement serves a busy machine, which says that it is busy.
    const busy = thisMachine({ folder, watch: watching({ ...quiet, others: 2 }) });
    expect(await busy.speeds(source, f32)).toEqual({ speeds: fixedSpeeds, of: "quiet" });
    expect(await busy.busy()).toBe(true);
  });
});

test("the key follows precision and shape, not the number of layers", () => {
  const key = (change: object = {}, compute: MeasureOptions["compute"] = "float32") =>
    speedsKey({ ...source.config, ...change }, { compute });
  expect(key({ layers: 99 })).toBe(key());
  const others = [
    key({ hiddenSize: 8 }),
    key({ vocabSize: 9 }),
    key({ family: "qwen3" }),
    key({}, "bfloat16"),
  ];
  expect(new Set([key(), ...others]).size).toBe(5);
});

test.each(["tiny-llama", "tiny-qwen3"] as const)(
  "every part of %s is measured, in both precisions",
  async (name) => {
    const model = await openModelSource(tinyFolder(name));
    for (const compute of ["float32", "bfloat16"] as const) {
      const { speeds, spread } = (await measureSpeeds(model, { compute, lora: true })) ?? {};
      expect(spread).toBeGreaterThanOrEqual(1);
      const { step = [], ...single }: Partial<Speeds> = speeds ?? {};
      const parts = ["attention", "attentionTrain", "forward", "head", "headTrain", "lora"];
      expect(Object.keys(single).sort()).toEqual([...parts, "prefill", "train", "update"]);
      expect(step.map(({ rows }) => rows)).toEqual([1, 8, 32]);
      for (const time of [...Object.values(single), ...step.flatMap(({ layer, head }) => [layer, head])])
        expect(time).toBeGreaterThan(0);
    }
  },
);
