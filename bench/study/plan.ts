/** What a study runs: for every domain and seed the recipe as it is, and each method as a variant of it. */
import { join } from "node:path";
import { mixGrid } from "../../packages/mahalo/src/evaluate/mixes.ts";
import { loadRecipe } from "../../packages/mahalo/src/recipe/load.ts";
import { hasPairs } from "../../packages/mahalo/src/recipe/schema/objective.ts";
import type { Recipe } from "../../packages/mahalo/src/recipe/schema/schema.ts";

/** Methods of a study. `mah-dpo` runs always: the others take its stages over. */
export const methodNames = [
  "mah-dpo",
  "mah-dpo-projected",
  "mah-dpo-frozen",
  "dpo",
  "dpo-mixed",
  "dpo-scalarized",
  "modpo",
  "soup",
  "mod",
  "prompted",
  "unified",
] as const;

/**
 * Name of a method; `dpo` is a run for each objective, `unified` is no policy but a reward model, `mah-dpo-projected` is
 * MAH-DPO with conflicting gradients projected, and `mah-dpo-frozen` MAH-DPO that trains the heads alone.
 */
export type Method = (typeof methodNames)[number];

/** The `align.method` of a method's recipe, or what its policies are called; variants of MAH-DPO begin with its name. */
export const policyMethod = (method: Method): string => (method.startsWith("mah-dpo") ? "mah-dpo" : method);

/** A domain: its recipe's file, and fields of it that the study sets. */
export type Domain = {
  name: string;
  file: string;
  set: readonly string[];
  /** What a reader of its results should know. Default: nothing. */
  notes?: readonly string[];
};

/** One run of a study. */
export type StudyRun = {
  method: Method;
  /** Name of the run, also of its folder. */
  name: string;
  recipe: Recipe;
};

/** All runs of one domain and seed, in order. */
export type SeedPlan = {
  domain: string;
  seed: number;
  /** Folder that holds the runs' folders. */
  folder: string;
  /** Objectives that have a head. */
  heads: string[];
  runs: StudyRun[];
};

const needsDpo: readonly Method[] = ["dpo-scalarized", "modpo", "soup", "mod"];

/** The methods asked for with those that they need, in order. */
export const completeMethods = (asked: readonly Method[]): Method[] => {
  const dpo: Method[] = asked.some((method) => needsDpo.includes(method)) ? ["dpo"] : [];
  const all = new Set<Method>(["mah-dpo", ...asked, ...dpo]);
  return methodNames.filter((method) => all.has(method));
};

/** Name of the run that aligns to one objective alone. */
export const dpoRun = (objective: string): string => `dpo-only-${objective}`;

const flow = (field: string, value: unknown): string => `${field}=${JSON.stringify(value)}`;

/**
 * What a method changes of the recipe, as overrides.
 *
 * Heads alone learn at five times the learning rate: they are the only weights that move.
 *
 * The unified reward model takes as many steps as the specialised ones together: a batch holds rows of every objective in
 * equal parts, so each objective's rows are read as often as by a model of its own.
 */
const overrides = (method: Method, heads: readonly string[], folder: string, recipe: Recipe): string[] => {
  const { align, reward, evaluate } = recipe;
  const models = Object.fromEntries(
    heads.map((name) => [name, join(folder, dpoRun(name), "align", "model")]),
  );
  const trained = [`align.method=${method}`, "evaluate.baseline=false"];
  const merged = [...trained, flow("align.models", models), "evaluate.pairAccuracy=false"];
  switch (method) {
    case "mah-dpo":
      return [];
    case "mah-dpo-projected":
      return [flow("align.conflict", { every: 5, project: true }), "evaluate.baseline=false"];
    case "mah-dpo-frozen":
      return [
        flow("align.train", { lastLayers: 0 }),
        ...(align === false ? [] : [flow("align.learningRate", align.learningRate * 5)]),
        "evaluate.baseline=false",
      ];
    case "dpo":
    case "dpo-mixed":
      return trained;
    case "dpo-scalarized":
    case "modpo":
      return [...trained, flow("align.rewards", models)];
    case "soup":
    case "mod":
      return merged;
    case "prompted": {
      const mixes = Array.isArray(evaluate.mixes) ? evaluate.mixes : mixGrid(heads, evaluate.mixes);
      return [
        "align=false",
        "evaluate.prompted=true",
        "evaluate.pairAccuracy=false",
        flow("evaluate.mixes", mixes),
      ];
    }
    case "unified": {
      const steps = reward === false ? undefined : reward.maxSteps;
      return [
        "align=false",
        "reward.unified=prompt",
        ...(steps === undefined ? [] : [flow("reward.maxSteps", steps * heads.length)]),
        "evaluate.prompts=0",
        "evaluate.pairAccuracy=false",
      ];
    }
  }
};

/**
 * Plans one domain and seed. All runs share rows, fine-tuning, evaluation prompts and seed; each method sees as many pairs.
 *
 * @param out the study's folder; runs lie in `<out>/<domain>/seed-<seed>/`
 * @throws MahaloError as loadRecipe
 */
export const planSeed = async (
  { name: domain, file, set }: Domain,
  seed: number,
  methods: readonly Method[],
  out: string,
): Promise<SeedPlan> => {
  const folder = join(out, domain, `seed-${seed}`);
  const common = [...set, `seed=${seed}`, flow("out", folder)];
  const load = async (method: Method, name: string, more: readonly string[] = []): Promise<StudyRun> => {
    const { recipe } = await loadRecipe(file, [...common, `name=${name}`, ...more]);
    // Guidance is measured on the run of MAH-DPO, beside SFT; a null would be no guide block.
    return { method, name, recipe: method === "mah-dpo" ? recipe : { ...recipe, guide: undefined } };
  };
  const first = await load("mah-dpo", "mah-dpo");
  const { objectives, reward } = first.recipe;
  const heads = Object.entries(objectives).flatMap(([name, objective]) =>
    hasPairs(objective) ? [name] : [],
  );
  const runs = [first];
  for (const method of completeMethods(methods)) {
    if (method === "mah-dpo" || (method === "unified" && reward === false)) continue;
    const set = overrides(method, heads, folder, first.recipe);
    if (method !== "dpo") runs.push(await load(method, method, set));
    else
      for (const head of heads)
        runs.push(await load(method, dpoRun(head), [...set, `align.objective=${head}`]));
  }
  return { domain, seed, folder, heads, runs };
};
