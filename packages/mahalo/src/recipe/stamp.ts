/** The stamp of a stage's folder: what its outputs were made from, so that only what is stale is made anew. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errorCode, fileError, hashBytes, writeJsonFile } from "../core/files.ts";
import { canonicalJson, parseJson } from "../core/json.ts";
import { readText } from "../core/read-file.ts";
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

/** What `stage.json` in a stage's folder holds. */
export const stampSchema = z.strictObject({
  format: z.literal(1),
  status: z.enum(["started", "done"]),
  key: z.string(),
  ingredients: ingredientsSchema,
  provenance: provenanceSchema,
  startedAt: z.string(),
  finishedAt: z.string().optional(),
  seconds: z.number().describe("Time worked on it, over all sittings that could still write it down."),
  resumes: z.int().describe("How often it was taken up again."),
  outputs: z.record(z.string(), z.number()).describe("Files of the folder and their sizes in bytes."),
});

/** What `stage.json` in a stage's folder holds. */
export type Stamp = z.infer<typeof stampSchema>;

const fileName = "stage.json";

/** The stamp of a folder; undefined where there is none or it cannot be read, which means that its content is unknown. */
export const readStamp = async (folder: string): Promise<Stamp | undefined> => {
  try {
    return parseJson(await readText(join(folder, fileName)), stampSchema, join(folder, fileName));
  } catch {
    return undefined;
  }
};

/** Writes a folder's stamp, atomically. */
export const writeStamp = (folder: string, stamp: Stamp): Promise<void> =>
  writeJsonFile(join(folder, fileName), stamp);

/** Files below a folder and their sizes, the stamp itself left out; sorted by name. */
export const listOutputs = async (folder: string): Promise<Record<string, number>> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw fileError("E_FILE_READ", "list", folder, error);
  });
  const sizes: [string, number][] = [];
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(folder.length + 1);
    if (name !== fileName) sizes.push([name, (await stat(path)).size]);
  }
  return Object.fromEntries(sizes.sort(([a], [b]) => (a < b ? -1 : 1)));
};

/** The first output of a stamp that is gone or has another size, or undefined when all are there. */
export const damagedOutput = async (folder: string, stamp: Stamp): Promise<string | undefined> => {
  for (const [name, size] of Object.entries(stamp.outputs)) {
    try {
      if ((await stat(join(folder, name))).size !== size) return name;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return name;
      throw fileError("E_FILE_READ", "read", join(folder, name), error);
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
