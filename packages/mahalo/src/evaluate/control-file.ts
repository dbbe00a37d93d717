/** control.json, kept beside a model's weights: what its sweep measured, so that positions and targets become mixes. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { writeFileIfOther } from "../core/files.ts";
import { formatNumberOf } from "../core/format.ts";
import { readJsonFile } from "../core/json.ts";
import { freeName } from "../core/names.ts";
import { element } from "../core/need.ts";
import type { Mix } from "../model/heads/heads.ts";
import { pointSchema, type Results, scaleSchema } from "./results.ts";
import { mixAt } from "./scale.ts";
import { type Target, tune } from "./tune.ts";

/** Name of the file. */
export const controlFile = "control.json";

const controlFileSchema = z.strictObject({
  format: z.literal("mahalo-control"),
  version: z.literal(1),
  /** The run that measured it, and on how many prompts. */
  run: z.string(),
  prompts: z.int().positive(),
  /** The mixes of the sweep. */
  points: z.array(pointSchema.required({ mix: true })).min(1),
  /** Positions between two objectives; left out where there are others, or where results do not move. */
  scale: scaleSchema.optional(),
  objectives: z.array(freeName).min(1),
});

/** Content of control.json. */
export type ControlFile = z.output<typeof controlFileSchema>;

/** Keeps what a run measured beside the model that it measured; does nothing without a sweep of mixes. */
export const writeControl = async (model: string, { name, sweep }: Results): Promise<void> => {
  const points = (sweep?.points ?? []).flatMap(({ mix, ...point }) =>
    mix === undefined ? [] : [{ ...point, mix }],
  );
  const [first] = points;
  if (sweep === undefined || first === undefined) return;
  const { prompts, scale } = sweep;
  const file: ControlFile = {
    ...{ format: "mahalo-control", version: 1, run: name, prompts, points },
    ...(scale === undefined ? {} : { scale }),
    objectives: Object.keys(first.mix),
  };
  await writeFileIfOther(
    join(model, controlFile),
    new TextEncoder().encode(`${JSON.stringify(file, null, 2)}\n`),
  );
};

/** Takes away what was measured of a model, where there is anything. */
export const removeControl = (model: string): Promise<void> => rm(join(model, controlFile), { force: true });

/** What is kept beside a model. @throws MahaloError E_CONTROL where nothing is, or it is damaged */
export const readControl = async (model: string): Promise<ControlFile> => {
  const path = join(model, controlFile);
  if (existsSync(path)) {
    const hint = "run the evaluate stage again to write it in this version's format";
    return readJsonFile(path, controlFileSchema, { code: "E_CONTROL", hint });
  }
  throw new MahaloError(
    "E_CONTROL",
    `${model}: nothing was measured of this model that a position or target could go by`,
    {
      hint: "name a model inside an evaluated run, such as runs/quickstart/align/model, or give weights",
    },
  );
};

/** A mix asked for by its place between two objectives, or by results that it must reach. */
export type AskedMix = { at: number } | { targets: readonly Target[] };

/**
 * The weights of a mix that is asked for by position, or by targets: of the mixes that reach these on average, the one that is
 * best on the first objective without a target.
 *
 * @throws MahaloError E_POSITION where the model has no scale; E_TARGET where no mix is expected to reach the targets
 */
export const mixOf = ({ points, scale, objectives }: ControlFile, asked: AskedMix): Mix => {
  if ("at" in asked) {
    if (scale !== undefined) return mixAt(scale, asked.at);
    const why =
      objectives.length === 2
        ? "its sweep lacks an end, or results did not move between the ends"
        : `it has ${formatNumberOf(objectives.length, "objective")}`;
    throw new MahaloError("E_POSITION", `the model has no scale of positions: ${why}`, {
      hint: "give weights",
    });
  }
  const { targets } = asked;
  const [measured = []] = points.map(({ results }) => Object.keys(results));
  const free = measured.find((name) => !targets.some(({ objective }) => objective === name));
  const { reached, best, missed } = tune(points, targets, free ?? element(measured, 0, "objective"));
  if (reached) return best.mix;
  const by = missed.map((target) => `${target.objective} by ${Number(target.by.toFixed(3))}`).join(", ");
  throw new MahaloError("E_TARGET", `no mix is expected to reach the target; the nearest misses ${by}`, {
    hint: "mahalo tune shows what was measured",
  });
};
