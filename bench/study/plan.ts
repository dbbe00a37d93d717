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
  "mah-dpo-low-rate",
  "mah-dpo-adapters",
  "mah-dpo-adapters-shared",
  "mah-dpo-adapters-interior",
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
 * MAH-DPO with conflicting gradients projected, `mah-dpo-frozen` MAH-DPO that trains the heads alone, `mah-dpo-low-rate` the
 * same with a backbone that learns at a tenth of the heads' rate, and `mah-dpo-adapters` the heads with an adapter for each
 * objective, with a shared one, or under mixes between the ends in half of the training.
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

/** Learning rate of adapters, as the recipes have it. */
const ADAPTER_RATE = 1e-4;

/**
 * What a method changes of the recipe, as overrides.
 *
 * Heads alone learn at five times the learning rate: they are the only weights that move.
 *
 * The unified reward model takes as many steps as the specialised ones together: a batch holds rows of every objective in
 * equal parts, so each objective's rows are read as often as by a model of its own.
 */
const overrides = (method: Method, heads: readonly string[], folder: string, recipe: Recipe): string[] => {
  const { align, reward } = recipe;
  const models = Object.fromEntries(
    heads.map((name) => [name, join(folder, dpoRun(name), "align", "model")]),
  );
  const trained = [`align.method=${method}`, "evaluate.baseline=false"];
  const merged = [...trained, flow("align.models", models), "evaluate.pairAccuracy=false"];
  const rate = align === false ? 0 : align.learningRate;
  const adapters = (more: { shared?: boolean } = {}): string[] => [
    flow("align.train", { adapters: { rank: 16, lastLayers: 10, ...more } }),
    "align.optimizer=adamw",
    flow("align.learningRate", ADAPTER_RATE),
    flow("align.headLearningRate", rate),
    "evaluate.baseline=false",
  ];
  switch (method) {
    case "mah-dpo":
      return [];
    case "mah-dpo-projected":
      return [flow("align.conflict", { every: 5, project: true }), "evaluate.baseline=false"];
    case "mah-dpo-frozen":
      return ["align.train=heads", flow("align.learningRate", rate * 5), "evaluate.baseline=false"];
    case "mah-dpo-low-rate":
      return [
        flow("align.learningRate", rate / 10),
        flow("align.headLearningRate", rate),
        "evaluate.baseline=false",
      ];
    case "mah-dpo-adapters":
      return adapters();
    case "mah-dpo-adapters-shared":
      return adapters({ shared: true });
    case "mah-dpo-adapters-interior":
      return [...adapters(), "align.interiorMixes=0.5"];
    case "dpo":
    case "dpo-mixed":
      return trained;
    case "dpo-scalarized":
    case "modpo":
      return [...trained, flow("align.rewards", models)];
    case "soup":
    case "mod":
      return merged;
    case "prompted":
      return ["align=false", "evaluate.prompted=true", "evaluate.pairAccuracy=false"];
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
  const given = [...set, `seed=${seed}`, flow("out", folder)];
  const { recipe: asGiven } = await loadRecipe(file, given);
  const heads = Object.entries(asGiven.objectives).flatMap(([name, objective]) =>
    hasPairs(objective) ? [name] : [],
  );
  const { mixes } = asGiven.evaluate;
  // An adaptive sweep would give every seed and method other mixes.
  const common = [...given, ...(Array.isArray(mixes) ? [] : [flow("evaluate.mixes", mixGrid(heads, mixes))])];
  const load = async (method: Method, name: string, more: readonly string[] = []): Promise<StudyRun> => {
    const { recipe } = await loadRecipe(file, [...common, `name=${name}`, ...more]);
    // Guidance is measured on the run of MAH-DPO, beside SFT; a null would be no guide block.
    return { method, name, recipe: method === "mah-dpo" ? recipe : { ...recipe, guide: undefined } };
  };
  const first = await load("mah-dpo", "mah-dpo");
  const { reward } = first.recipe;
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
