/** The generators a recipe may name; a new one is one file and one line here. */
import { MahaloError } from "@mahalo/torch";
import { checkValue } from "../../core/json.ts";
import { didYouMean } from "../../core/suggest.ts";
import type { Generated, Generator } from "./types.ts";
import { wordProblems } from "./word-problems.ts";

const register = <Options>(generator: Generator<Options>) => ({
  name: generator.name,
  objectives: generator.objectives,
  options: generator.options,
  run: (options: unknown, seed: number, where: string): Generated =>
    generator.generate(checkValue(options, generator.options, where, { code: "E_GENERATOR_OPTIONS" }), seed),
});

/** All generators. */
export const generators = [register(wordProblems)] as const;

/** Names of all generators. */
export const generatorNames: readonly string[] = generators.map(({ name }) => name);

/** Finds a generator by name. @throws MahaloError E_GENERATOR_UNKNOWN */
export const findGenerator = (name: string, where: string) => {
  const found = generators.find((one) => one.name === name);
  if (!found) {
    throw new MahaloError("E_GENERATOR_UNKNOWN", `${where}: unknown generator "${name}"`, {
      hint: didYouMean(name, generatorNames),
    });
  }
  return found;
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
  findGenerator(name, where).run(options, seed, where);
