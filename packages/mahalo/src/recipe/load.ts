/** From YAML text to a checked recipe: errors name line and field, `--set` overrides fields, defaults are filled in. */
import { dirname, isAbsolute, resolve } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { type Document, isNode, isScalar, LineCounter, parse, parseDocument, stringify, visit } from "yaml";
import { writeFileIfOther } from "../core/files.ts";
import { describeIssues, type FieldPath, formatPath, valueAt } from "../core/issues.ts";
import { protoKeys } from "../core/names.ts";
import { readText } from "../core/read-file.ts";
import { type Recipe, recipeSchema } from "./schema/schema.ts";
import type { RowSource, StepSource } from "./schema/source.ts";
import type { SftOptions } from "./schema/training.ts";

/** A recipe as loaded: checked, defaults filled in, paths made absolute. */
export type LoadedRecipe = {
  recipe: Recipe;
  /** The file it came from. */
  file: string;
};

/** Options of {@link parseRecipe}. */
export type ParseRecipeOptions = {
  /** Overrides such as `align.beta=0.2`; the value is read as YAML. Later ones win. */
  set?: readonly string[];
  /** Folder that relative paths of sources start from. Default: the working directory. */
  folder?: string;
};

/** Field path and value of one override. */
const parseOverride = (text: string): { path: string[]; value: unknown } => {
  const equals = text.indexOf("=");
  const path = text.slice(0, Math.max(equals, 0)).trim().split(".");
  if (equals < 1 || path.some((part) => part === "")) {
    throw new MahaloError("E_RECIPE_SET", `--set ${text}: must be a field and a value`, {
      hint: "for example --set align.beta=0.2",
    });
  }
  try {
    return { path, value: parse(text.slice(equals + 1)) };
  } catch (error) {
    throw new MahaloError("E_RECIPE_SET", `--set ${text}: the value is not valid YAML`, { cause: error });
  }
};

const applyOverride = (document: Document, text: string): string[] => {
  const { path, value } = parseOverride(text);
  // A field below a plain value (sft: false) takes that value's place, or setIn would refuse.
  for (let depth = 1; depth < path.length; depth++) {
    const above = path.slice(0, depth);
    if (document.hasIn(above) && typeof document.getIn(above) !== "object") document.deleteIn(above);
  }
  try {
    document.setIn(path, document.createNode(value));
  } catch (error) {
    throw new MahaloError("E_RECIPE_SET", `--set ${text}: ${path.slice(0, -1).join(".")} holds no fields`, {
      cause: error,
    });
  }
  return path;
};

/** The innermost node of the document on the way to a field, and where it begins. */
const offsetOf = (document: Document, path: FieldPath): number | undefined => {
  for (let depth = path.length; depth >= 0; depth--) {
    const node = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return undefined;
};

/** Paths of sources and of a model that is plainly a path, relative to the recipe's folder, made absolute. */
const resolvePaths = (recipe: Recipe, folder: string): Recipe => {
  const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(folder, path));
  const source = <S extends { path?: string | undefined }>(given: S): S =>
    given.path === undefined ? given : { ...given, path: absolute(given.path) };
  const sources = <S extends { path?: string | undefined }>(given: S | S[]): S | S[] =>
    Array.isArray(given) ? given.map(source) : source(given);
  const stepSource = (given: StepSource): StepSource => ({
    ...source(given),
    ...(given.heldOut === undefined ? {} : { heldOut: source(given.heldOut) }),
  });
  const steps = (given: StepSource | StepSource[]): StepSource | StepSource[] =>
    Array.isArray(given) ? given.map(stepSource) : stepSource(given);
  const example = (given: "chosen" | RowSource) => (given === "chosen" ? given : source(given));
  const examples = (from: SftOptions["from"]): SftOptions["from"] =>
    Array.isArray(from) ? from.map(example) : example(from);
  const { objectives, sft, align, evaluate } = recipe;
  const model = (name: string): string => (/^\.{1,2}[/\\]/.test(name) ? absolute(name) : name);
  const models = (named: Record<string, string>): Record<string, string> =>
    Object.fromEntries(Object.entries(named).map(([key, name]) => [key, model(name)]));
  return {
    ...recipe,
    model: model(recipe.model),
    objectives: Object.fromEntries(
      Object.entries(objectives).map(([name, objective]) => [
        name,
        {
          ...objective,
          ...(objective.pairs === undefined || "from" in objective.pairs
            ? {}
            : { pairs: source(objective.pairs) }),
          ...(objective.prompts === undefined ? {} : { prompts: sources(objective.prompts) }),
          ...(objective.dialogues === undefined ? {} : { dialogues: sources(objective.dialogues) }),
          ...(objective.steps === undefined ? {} : { steps: steps(objective.steps) }),
        },
      ]),
    ),
    sft: sft === false ? sft : { ...sft, from: examples(sft.from) },
    align:
      align === false
        ? align
        : {
            ...align,
            ...(align.rewards === undefined ? {} : { rewards: models(align.rewards) }),
            ...(align.models === undefined ? {} : { models: models(align.models) }),
          },
    evaluate: evaluate.from === "heldOut" ? evaluate : { ...evaluate, from: source(evaluate.from) },
  };
};

/** Characters of a recipe: a thousand times those of a long one. */
const longestRecipe = 4_000_000;

/** The first key that a map of the document holds twice; the library's own check compares each key with each. */
const repeatedKey = (document: Document): { key: string; offset: number } | undefined => {
  let repeated: { key: string; offset: number } | undefined;
  visit(document, {
    Map(_, map) {
      const keys = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (keys.has(key.value)) {
          const [offset = 0] = key.range ?? [];
          repeated = { key: String(key.value), offset };
          return visit.BREAK;
        }
        keys.add(key.value);
      }
      return undefined;
    },
  });
  return repeated;
};

/** The document of a recipe's text. @throws MahaloError E_RECIPE_SYNTAX */
const readDocument = (text: string, file: string, lines: LineCounter): Document => {
  const fail = (offset: number, message: string, cause?: unknown): MahaloError => {
    const { line, col } = lines.linePos(offset);
    const what = `${file}:${line}: is not valid YAML (column ${col}): ${message}`;
    return new MahaloError("E_RECIPE_SYNTAX", what, { cause });
  };
  if (text.length > longestRecipe) {
    const message = `${file}: has ${text.length} characters; a recipe has at most ${longestRecipe}`;
    throw new MahaloError("E_RECIPE_SYNTAX", message);
  }
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const [fault] = document.errors;
  if (fault !== undefined) {
    const deep = fault.message.includes("call stack");
    throw fail(fault.pos[0], deep ? "it is nested too deeply" : fault.message, fault);
  }
  const repeated = repeatedKey(document);
  if (repeated !== undefined) throw fail(repeated.offset, `the key "${repeated.key}" is there twice`);
  return document;
};

/**
 * Parses and checks the text of a recipe.
 *
 * @param file what messages begin with.
 * @throws MahaloError E_RECIPE_SYNTAX for text that is not YAML; E_RECIPE_SET for an override without field or value;
 *   E_RECIPE_UNKNOWN_KEY, E_RECIPE_UNKNOWN_OBJECTIVE or E_RECIPE_FIELD for fields, with line and the nearest known name.
 *
 * @example parseRecipe(text, "recipe.yaml", { set: ["align.beta=0.2"] }).align
 */
export const parseRecipe = (text: string, file: string, options: ParseRecipeOptions = {}): Recipe => {
  try {
    return readRecipe(text, file, options);
  } catch (error) {
    // What reads and checks a value calls itself for each level of it.
    if (!(error instanceof RangeError)) throw error;
    throw new MahaloError("E_RECIPE_SYNTAX", `${file}: is nested too deeply`, { cause: error });
  }
};

/** Keys of training blocks by the names that they had in 0.1; read until 0.3. */
const formerKeys = { tokensPerPass: "maxTokensPerMicrobatch" } as const;

/** Gives keys their present names; where a recipe has both, the present one counts, as of a --set over an older recipe. */
const renameFormerKeys = (recipe: unknown): void => {
  for (const block of ["sft", "reward", "align"]) {
    const options = valueAt(recipe, [block]);
    if (typeof options !== "object" || options === null) continue;
    for (const [former, present] of Object.entries(formerKeys)) {
      if (!Object.hasOwn(options, former)) continue;
      if (!Object.hasOwn(options, present)) Reflect.set(options, present, Reflect.get(options, former));
      Reflect.deleteProperty(options, former);
    }
  }
};

const readRecipe = (text: string, file: string, options: ParseRecipeOptions): Recipe => {
  const lines = new LineCounter();
  const document = readDocument(text, file, lines);
  const overridden = (options.set ?? []).map((override) => ({
    override,
    path: applyOverride(document, override),
  }));

  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    // An alias without an anchor, or aliases that would unfold without end.
    const reason = error instanceof Error ? error.message : String(error);
    throw new MahaloError("E_RECIPE_SYNTAX", `${file}: ${reason}`, { cause: error });
  }
  const unusable = protoKeys(value)[0];
  if (unusable === undefined) renameFormerKeys(value);
  const result = recipeSchema.safeParse(value);
  if (result.success && unusable === undefined)
    return resolvePaths(result.data, options.folder ?? process.cwd());

  const locate = (path: FieldPath): string => {
    const set = overridden.findLast(({ path: field }) =>
      field.every((part, depth) => part === String(path[depth])),
    );
    if (set !== undefined) return `--set ${set.override}`;
    const offset = offsetOf(document, path);
    return offset === undefined || path.length === 0 ? file : `${file}:${lines.linePos(offset).line}`;
  };
  if (unusable !== undefined) {
    const what = `${locate(unusable)}: ${formatPath(unusable)}: is a name reserved by JavaScript`;
    throw new MahaloError("E_RECIPE_FIELD", `${what}; choose another`);
  }
  const issues = result.error?.issues ?? [];
  const messages = describeIssues(issues, recipeSchema, value, locate);
  const code = issues.some((issue) => issue.code === "unrecognized_keys")
    ? "E_RECIPE_UNKNOWN_KEY"
    : issues.some((issue) => issue.code === "custom" && issue.params?.recipe === "unknown-objective")
      ? "E_RECIPE_UNKNOWN_OBJECTIVE"
      : "E_RECIPE_FIELD";
  throw new MahaloError(code, messages.join("\n"));
};

/**
 * Reads a recipe file.
 *
 * @param set overrides such as `align.beta=0.2`.
 * @throws MahaloError E_FILE_READ, and what {@link parseRecipe} throws.
 */
export const loadRecipe = async (file: string, set: readonly string[] = []): Promise<LoadedRecipe> => {
  const text = await readText(file);
  return { recipe: parseRecipe(text, file, { set, folder: dirname(resolve(file)) }), file };
};

/** Writes a recipe with every default filled in, as YAML that {@link loadRecipe} reads back to the same recipe. */
export const writeResolvedRecipe = (path: string, recipe: Recipe): Promise<void> => {
  const head = "# Resolved recipe: every default filled in, every path absolute.\n";
  return writeFileIfOther(path, Buffer.from(`${head}${stringify(recipe, { aliasDuplicateObjects: false })}`));
};
