/** Mixes that change within an answer: from which token or step on which weights hold. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { checkValue } from "../core/json.ts";
import { evenMix, type Mix, normalizeMix } from "../model/heads/heads.ts";

/** Where a phase begins: at the answer's token or step of that number, both counted from 0. */
export type MixStart = { token: number } | { step: number };

/** Weights that hold from a token or a step of the answer on, until the next phase begins. */
export type MixPhase = {
  /** Default: the beginning; the first phase begins there. */
  from?: MixStart | undefined;
  mix: Mix;
};

/** One mix for the whole answer, or phases in order. */
export type MixPlan = Mix | readonly MixPhase[];

/** Whether a plan has phases. */
export const hasPhases = (plan: MixPlan): plan is readonly MixPhase[] => Array.isArray(plan);

const count = z.int().nonnegative();
const startSchema = z.union([z.strictObject({ token: count }), z.strictObject({ step: count })], {
  error: "must be { token: number } or { step: number }, a whole number of at least 0",
});
const phasesSchema = z
  .array(z.strictObject({ from: startSchema.optional(), mix: z.record(z.string(), z.number()) }))
  .min(1, "needs at least one phase");

const unitOf = (from: MixStart): "token" | "step" => ("token" in from ? "token" : "step");
const startOf = (from: MixStart): number => ("token" in from ? from.token : from.step);

/** A phase ready for use: its weights normalised, and a name that equal mixes share. */
type Phase = { start: number; mix: Mix; key: string };

const refuse = (where: string, field: string, message: string, hint?: string): never => {
  throw new MahaloError("E_MIX_SCHEDULE", `${where}: ${field}: ${message}`, { hint });
};

/** Normalised weights; errors name the field. */
const checked = (mix: Mix, objectives: readonly string[], where: string, field: string): Mix => {
  try {
    return Object.fromEntries(normalizeMix(mix, objectives));
  } catch (error) {
    if (!(error instanceof MahaloError)) throw error;
    const message = `${where}: ${field}${error.message.replace(/^mix/, "")}`;
    throw new MahaloError(error.code, message, { hint: error.hint });
  }
};

/** The mixes of one answer, checked. */
export class MixSchedule {
  readonly #unit: "token" | "step";
  readonly #phases: readonly Phase[];

  private constructor(unit: "token" | "step", phases: readonly Phase[]) {
    this.#unit = unit;
    this.#phases = phases;
  }

  /**
   * Checks a plan.
   *
   * @param plan undefined for all objectives alike
   * @param where what errors call the request
   * @param steps whether the request declares what ends a step
   * @returns undefined for a model without objectives, which answers with its one head
   * @throws MahaloError E_MIX_NO_HEADS, E_MIX_SCHEDULE (phases out of order, of two units, or by steps without a
   *   boundary), and E_MIX_* of a wrong mix, each naming its field
   */
  static of(
    plan: MixPlan | undefined,
    objectives: readonly string[],
    where: string,
    steps: boolean,
  ): MixSchedule | undefined {
    if (objectives.length === 0) {
      if (plan === undefined) return undefined;
      throw new MahaloError("E_MIX_NO_HEADS", `${where}: mix: the model has no heads for objectives`, {
        hint: "leave the mix out, or use a model from align",
      });
    }
    const chosen = plan ?? evenMix(objectives);
    if (!hasPhases(chosen)) {
      const mix = checked(chosen, objectives, where, "mix");
      return new MixSchedule("token", [{ start: 0, mix, key: JSON.stringify(mix) }]);
    }
    const phases = checkValue<MixPhase[]>(chosen, phasesSchema, `${where}: mix`, { code: "E_MIX_SCHEDULE" });
    const unit =
      phases.map(({ from }) => from && unitOf(from)).find((found) => found !== undefined) ?? "token";
    if (unit === "step" && !steps) {
      refuse(where, "mix", "phases by step need to know what ends a step", 'set step, as in step: "line"');
    }
    let before = -1;
    const ready = phases.map(({ from, mix }, index): Phase => {
      const field = `mix[${index}]`;
      const start = from === undefined ? 0 : startOf(from);
      if (from !== undefined && unitOf(from) !== unit) {
        refuse(where, `${field}.from`, `a ${unitOf(from)}, while other phases begin at a ${unit}`);
      }
      if (index === 0 && start !== 0) refuse(where, `${field}.from`, "the first phase begins at 0");
      if (start <= before) {
        refuse(
          where,
          `${field}.from`,
          `${unit} ${start} does not come after ${unit} ${before} of the phase before`,
        );
      }
      before = start;
      const weights = checked(mix, objectives, where, `${field}.mix`);
      return { start, mix: weights, key: JSON.stringify(weights) };
    });
    return new MixSchedule(unit, ready);
  }

  /**
   * The schedule that is as this one for the first tokens of an answer, and then under other weights to its end.
   *
   * @throws MahaloError E_MIX_SCHEDULE where phases begin at steps, and E_MIX_* of a wrong mix
   */
  steered(mix: Mix, objectives: readonly string[], tokens: number, where: string): MixSchedule {
    if (this.#unit === "step")
      refuse(where, "mix", "an answer whose mix changes by steps cannot be steered on the way");
    const weights = checked(mix, objectives, where, "mix");
    const before = this.#phases.filter(({ start }) => start < tokens);
    return new MixSchedule("token", [
      ...before,
      { start: tokens, mix: weights, key: JSON.stringify(weights) },
    ]);
  }

  /** The mixes as a request states them. */
  get plan(): MixPlan {
    const [first, ...more] = this.#phases;
    if (first !== undefined && more.length === 0) return first.mix;
    const from = (start: number): MixStart => (this.#unit === "token" ? { token: start } : { step: start });
    return this.#phases.map(({ start, mix }) => ({ from: from(start), mix }));
  }

  #at(tokens: number, steps: number): Phase {
    const now = this.#unit === "token" ? tokens : steps;
    const phase = this.#phases.findLast(({ start }) => start <= now) ?? this.#phases[0];
    if (phase === undefined)
      throw new MahaloError("E_INTERNAL", "a schedule without phases", { exitStatus: 1 });
    return phase;
  }

  /** Weights of the next token of an answer that has so many tokens and whole steps. */
  at(tokens: number, steps: number): Mix {
    return this.#at(tokens, steps).mix;
  }

  /** A name of these weights: rows of the same name share a head. */
  keyAt(tokens: number, steps: number): string {
    return this.#at(tokens, steps).key;
  }
}
