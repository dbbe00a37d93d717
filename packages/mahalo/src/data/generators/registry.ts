/** The generators a recipe may name; a new one is one file and one line here, or is added by a program. */
import { checkValue } from "../../core/json.ts";
import { checkParts } from "../../core/parts.ts";
import { Registry } from "../../core/registry.ts";
import type { Generated, Generator } from "./types.ts";
import { wordProblems } from "./word-problems.ts";

/** A generator among the others. */
type RegisteredGenerator = Pick<Generator<unknown>, "objectives" | "options"> & {
  run(options: unknown, seed: number, where: string): Generated;
};

/** A generator as the registry holds it, its options' type inside. */
const registered = <Options>(generator: Generator<Options>): RegisteredGenerator => ({
  objectives: generator.objectives,
  options: generator.options,
  run: (options, seed, where) =>
    generator.generate(checkValue(options, generator.options, where, { code: "E_GENERATOR_OPTIONS" }), seed),
});

/** Generators by name. */
export const generators = new Registry<RegisteredGenerator>("generator", {
  "word-problems": registered(wordProblems),
});

/** Adds a generator, for a program. @throws MahaloError E_REGISTRY */
export const addGenerator = <Options>(generator: Generator<Options>): void => {
  checkParts(generators, generator?.name, generator, {
    name: "string",
    objectives: "list",
    options: "object",
    generate: "function",
  });
  generators.add(generator.name, registered(generator));
};

/**
 * Makes rows by a generator's name.
 *
 * @param options what the recipe says beside the name; checked against the generator's schema, defaults filled in.
 * @param where what error messages begin with, for example `recipe.yaml: objectives.accuracy.generator`.
 * @throws MahaloError E_GENERATOR_UNKNOWN, E_GENERATOR_OPTIONS, E_GENERATOR_EXHAUSTED
 *
 * @example generateRows("word-problems", { problems: 300 }, 0, "recipe.yaml").train.length // 600
 */
export const generateRows = (name: string, options: unknown, seed: number, where: string): Generated =>
  generators.get(name, { where, code: "E_GENERATOR_UNKNOWN" }).run(options, seed, where);
