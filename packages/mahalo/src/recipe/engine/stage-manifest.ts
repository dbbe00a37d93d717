/** The manifest of a stage's folder: what its outputs were made from, so that only stale stages run again. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errorCode, fileError, hashBytes, hashFile, writeJsonFile } from "../../core/files.ts";
import { canonicalJson, parseJson } from "../../core/json.ts";
import { isLeftover } from "../../core/leftovers.ts";
import { readText } from "../../core/read-file.ts";
import { provenanceSchema } from "./provenance.ts";

/** All that decides a stage's outputs. */
export const ingredientsSchema = z.strictObject({
  stage: z.string(),
  version: z
    .string()
    .describe("Version of the stage's code; raised when equal inputs would give other outputs."),
  seed: z.int(),
  recipe: z.json().describe("The part of the recipe that the stage looks at."),
  dependencies: z.record(z.string(), z.string()).describe("Keys of the stages it reads from."),
  sources: z.record(z.string(), z.string()).describe("SHA-256 of the files it reads."),
});

/** All that decides a stage's outputs. */
export type Ingredients = z.infer<typeof ingredientsSchema>;

/** The content hash of a stage: equal ingredients, equal key. */
export const keyOf = (ingredients: Ingredients): string => hashBytes(canonicalJson(ingredients));

/** What a manifest says of one output. */
const outputSchema = z.strictObject({
  size: z.number().describe("Bytes."),
  changed: z.string().describe("Time of its last change, in nanoseconds since 1970."),
  sha256: z.string(),
});

/** What a manifest says of one output. */
export type OutputFile = z.infer<typeof outputSchema>;

/** What `stage.json` in a stage's folder holds. */
export const stampSchema = z.strictObject({
  format: z.literal(1),
  status: z.enum(["started", "done"]),
  key: z.string(),
  ingredients: ingredientsSchema,
  provenance: provenanceSchema,
  startedAt: z.string(),
  finishedAt: z.string().optional(),
  seconds: z.number().describe("Time spent on it, over all runs that recorded it."),
  resumes: z.int().describe("How often it was resumed."),
  outputs: z
    .record(z.string(), z.union([outputSchema, z.number()]))
    .describe("Files of the folder; earlier versions wrote only their sizes."),
});

/** What `stage.json` in a stage's folder holds. */
export type StageManifest = z.infer<typeof stampSchema>;

const fileName = "stage.json";

/** The manifest of a folder; undefined where there is none or it cannot be read, which means that its content is unknown. */
export const readStageManifest = async (folder: string): Promise<StageManifest | undefined> => {
  try {
    return parseJson(await readText(join(folder, fileName)), stampSchema, join(folder, fileName));
  } catch {
    return undefined;
  }
};

/** Writes a folder's manifest, atomically. */
export const writeStageManifest = (folder: string, manifest: StageManifest): Promise<void> =>
  writeJsonFile(join(folder, fileName), manifest);

const describeFile = async (path: string): Promise<Omit<OutputFile, "sha256">> => {
  const { size, mtimeNs } = await stat(path, { bigint: true });
  return { size: Number(size), changed: mtimeNs.toString() };
};

/** Files below a folder, the manifest itself and what is half written left out; sorted by name. */
export const listOutputs = async (folder: string): Promise<Record<string, OutputFile>> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw fileError("E_FILE_READ", "list", folder, error);
  });
  const outputs: [string, OutputFile][] = [];
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(folder.length + 1);
    if (name === fileName || isLeftover(name)) continue;
    outputs.push([name, { ...(await describeFile(path)), sha256: await hashFile(path) }]);
  }
  return Object.fromEntries(outputs.sort(([a], [b]) => (a < b ? -1 : 1)));
};

/** Options of {@link damagedOutput}. */
export type DamageOptions = {
  /** Read every file; otherwise only those whose time of change is another one. Default false. */
  verify?: boolean;
  /** SHA-256 of a file's content. Default: of the file as it is read now. */
  hash?: (path: string) => Promise<string>;
};

/** The first output of a manifest that is gone or has another content, or undefined when all are there. */
export const damagedOutput = async (
  folder: string,
  manifest: StageManifest,
  { verify = false, hash = hashFile }: DamageOptions = {},
): Promise<string | undefined> => {
  for (const [name, written] of Object.entries(manifest.outputs)) {
    const path = join(folder, name);
    // A manifest of an earlier version may list what a killed process left.
    if (isLeftover(name)) continue;
    try {
      const current = await describeFile(path);
      const sized = typeof written === "number";
      if (current.size !== (sized ? written : written.size)) return name;
      if (sized || (!verify && current.changed === written.changed)) continue;
      if ((await hash(path)) !== written.sha256) return name;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return name;
      throw fileError("E_FILE_READ", "read", path, error);
    }
  }
  return undefined;
};

/** Fields that differ between two parts of a recipe, as dotted paths. */
const changedFields = (before: unknown, after: unknown, path: string): string[] => {
  const isMap = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (isMap(before) && isMap(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) =>
      changedFields(before[key], after[key], path === "" ? key : `${path}.${key}`),
    );
  }
  const same =
    before === undefined || after === undefined
      ? before === after
      : canonicalJson(before) === canonicalJson(after);
  return same ? [] : [path];
};

/** Why outputs made from `before` are not those of `after`, in words; empty when they are. */
export const differences = (before: Ingredients, after: Ingredients): string[] => {
  const reasons: string[] = [];
  if (before.version !== after.version) reasons.push("its code changed");
  if (before.seed !== after.seed) reasons.push("the seed changed");
  const fields = changedFields(before.recipe, after.recipe, "");
  if (fields.length > 0) {
    reasons.push(
      `${fields.slice(0, 4).join(", ")}${fields.length > 4 ? ` and ${fields.length - 4} more` : ""} changed`,
    );
  }
  for (const label of changedFields(before.sources, after.sources, ""))
    reasons.push(`the files of ${label} changed`);
  for (const name of changedFields(before.dependencies, after.dependencies, ""))
    reasons.push(`${name} is another`);
  return reasons;
};
