/** Which model and mix a request asks for: by weights, by the model's name, by metadata, by a position or by a target. */
import { MahaloError } from "@mahalo/torch";
import { canonicalJson } from "../../core/json.ts";
import { element } from "../../core/need.ts";
import { hasPhases, type MixPlan } from "../../decode/mix-schedule.ts";
import { type ControlFile, mixOf } from "../../evaluate/control-file.ts";
import { parseTarget, type Target, tune } from "../../evaluate/tune.ts";
import { type Mix, normalizeMix, parseMix } from "../../model/heads/heads.ts";
import type { ModelInfo } from "../engine/protocol.ts";
import { ApiError, badField } from "../http/api-error.ts";
import type { MixFields } from "./fields.ts";

/** A model that is served, and the weights that stand in its name. */
export type NamedModel = { info: ModelInfo; weights: string | undefined };

/**
 * The model of a name such as `quickstart` or `quickstart@accuracy=0.7,engagement=0.3`.
 *
 * @throws ApiError 404 model_not_found
 */
export const modelOf = (models: ReadonlyMap<string, ModelInfo>, name: string): NamedModel => {
  const whole = models.get(name);
  if (whole !== undefined) return { info: whole, weights: undefined };
  const cut = name.lastIndexOf("@");
  const before = cut > 0 ? models.get(name.slice(0, cut)) : undefined;
  if (before !== undefined) return { info: before, weights: name.slice(cut + 1) };
  const served = [...models.keys()].join(", ");
  throw new ApiError(404, `the model "${name.slice(0, 128)}" is not served here; these are: ${served}`, {
    code: "model_not_found",
    param: "model",
  });
};

/** Runs a reading of one field; its error names the field. */
const inField = <T>(param: string, read: () => T): T => {
  try {
    return read();
  } catch (error) {
    if (error instanceof MahaloError) throw badField(param, error.message);
    throw error;
  }
};

const controlOf = ({ id, control }: ModelInfo, param: string): ControlFile => {
  if (control !== undefined) return control;
  throw badField(
    param,
    `nothing was measured of the model "${id}" that this could go by; give objective_weights`,
  );
};

const targetsOf = (target: NonNullable<MixFields["target"]>): Target[] =>
  Object.entries(target).map(([objective, bound]) =>
    inField(`target.${objective}`, () =>
      parseTarget(`${objective}${typeof bound === "number" ? `>=${bound}` : bound.trim()}`),
    ),
  );

/** The measured mix that reaches targets. */
const reaching = (
  control: ControlFile,
  target: NonNullable<MixFields["target"]>,
  maximize: string | undefined,
): Mix => {
  const targets = targetsOf(target);
  if (targets.length === 0) throw badField("target", "names no objective");
  if (maximize === undefined) return inField("target", () => mixOf(control, { targets }));
  const { reached, best, missed } = inField("target", () => tune(control.points, targets, maximize));
  if (reached) return best.mix;
  const by = missed.map((miss) => `${miss.objective} by ${Number(miss.by.toFixed(3))}`).join(", ");
  throw badField("target", `no measured mix reaches it; the nearest misses ${by}`, "target_not_reached");
};

/** A plan in one form, so that equal ones are the same text. */
const formOf = (given: MixPlan, { objectives }: ModelInfo, param: string): string =>
  inField(param, () => {
    const even = (mix: Mix): [string, number][] => [...normalizeMix(mix, objectives)];
    // One phase is a mix that does not change.
    const plan = hasPhases(given) && given.length === 1 ? element(given, 0).mix : given;
    return canonicalJson(
      hasPhases(plan) ? plan.map(({ from, mix }) => ({ from, mix: even(mix) })) : even(plan),
    );
  });

/**
 * The mix that a request asks for; undefined for all objectives alike.
 *
 * @throws ApiError 400 naming the field that is wrong, or two that do not say the same
 */
export const askedMix = ({ info, weights }: NamedModel, fields: MixFields): MixPlan | undefined => {
  const { objective_weights, at, target, maximize, metadata } = fields;
  if (typeof maximize === "string" && !target)
    throw badField("maximize", "goes with a target that is to be reached", "missing_required_parameter");
  const inMetadata = metadata?.mix;
  const ways: [param: string, plan: MixPlan][] = [];
  if (objective_weights) ways.push(["objective_weights", objective_weights]);
  if (weights !== undefined) ways.push(["model", inField("model", () => parseMix(weights))]);
  if (inMetadata !== undefined)
    ways.push(["metadata.mix", inField("metadata.mix", () => parseMix(inMetadata))]);
  if (typeof at === "number") ways.push(["at", inField("at", () => mixOf(controlOf(info, "at"), { at }))]);
  if (target) ways.push(["target", reaching(controlOf(info, "target"), target, maximize ?? undefined)]);
  const [first, ...others] = ways;
  if (first === undefined) return undefined;
  if (info.objectives.length === 0)
    throw badField(first[0], `the model "${info.id}" has no objectives, so there is nothing to mix`);
  const form = formOf(first[1], info, first[0]);
  for (const [param, plan] of others)
    if (formOf(plan, info, param) !== form)
      throw badField(
        param,
        `asks for another mix than ${first[0]} does; give one of them`,
        "conflicting_weights",
      );
  return first[1];
};
