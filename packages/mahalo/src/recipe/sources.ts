/** The files that a recipe's sources and model stand for, on this machine or to be fetched. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { hashBytes, hashFile } from "../core/files.ts";
import { canonicalJson } from "../core/json.ts";
import type { HubOptions } from "../data/hub/locate.ts";
import { locateRows } from "../data/rows/load.ts";
import { controlFile } from "../evaluate/control-file.ts";
import { locateModel } from "../model/folder/source.ts";
import type { SourceFiles } from "./engine/source-files.ts";
import type { RowSource } from "./schema/schema.ts";

/** Environment under which nothing is fetched. */
const offline = (): HubOptions => ({ environment: { ...process.env, HF_HUB_OFFLINE: "1" } });

/** Runs a look-up that may fetch or not; undefined when what it looks for would have to be fetched. */
const unlessFetched = async (
  fetch: boolean,
  look: (options: HubOptions) => Promise<string[]>,
): Promise<string[] | undefined> => {
  try {
    return await look(fetch ? {} : offline());
  } catch (error) {
    if (!fetch && error instanceof MahaloError && error.code === "E_HUB_OFFLINE") return undefined;
    throw error;
  }
};

/** The file of a source of rows, for a stage's content hash. */
export const rowSourceFiles = (label: string, source: RowSource): SourceFiles => ({
  label,
  locate: ({ fetch }) => unlessFetched(fetch, async (options) => [(await locateRows(source, options)).path]),
});

/** Files directly in a model folder; those of folders inside belong to other tools, and what was measured of it is not the model. */
const modelFolderFiles = async (folder: string): Promise<string[]> => {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter(
    (entry) => !entry.isDirectory() && !entry.name.startsWith(".") && entry.name !== controlFile,
  );
  return names.map(({ name }) => join(folder, name)).sort();
};

const filesOf = async (
  model: string,
  revision: string | undefined,
  options: HubOptions,
): Promise<string[]> => {
  const location = await locateModel(model, revision, options);
  return "file" in location ? [location.file] : modelFolderFiles(location.folder);
};

/** The files of a base model, for a stage's content hash. */
export const modelFiles = (model: string, revision?: string): SourceFiles => ({
  label: "model",
  locate: ({ fetch }) => unlessFetched(fetch, (options) => filesOf(model, revision, options)),
});

/**
 * One hash of a base model's files, which are fetched where they are not here: what identifies its weights.
 *
 * @throws MahaloError what finding and reading the files throws
 */
export const modelHash = async (model: string, revision?: string): Promise<string> => {
  const paths = await filesOf(model, revision, {});
  return hashBytes(canonicalJson(await Promise.all(paths.map(hashFile))));
};

/** What of a source its rows depend on beside the content of its file; where the file lies is left out. */
export const sourceInputs = ({ format, columns, objective, limit }: RowSource) => ({
  format: format ?? null,
  columns: columns === undefined ? null : JSON.stringify(columns),
  limit: limit ?? null,
  ...(objective === undefined ? {} : { objective }),
});
