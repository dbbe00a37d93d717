/** Hashes of the files that a stage reads, remembered as long as size and time of change stay. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { isUnwritable } from "../../core/file-error.ts";
import { errorCode, fileError, hashBytes, hashFile, writeJsonFile } from "../../core/files.ts";
import { canonicalJson, parseJson } from "../../core/json.ts";
import { readText } from "../../core/read-file.ts";

/** Files from outside that a stage reads, as one thing: a data file, or the files of a model folder. */
export type SourceFiles = {
  /** What messages call it, for example `objectives.helpful.pairs`. */
  label: string;
  /**
   * Paths of the files on this machine.
   *
   * @param fetch whether they may be fetched; without it, undefined says that they are not here yet.
   */
  locate: (options: { fetch: boolean }) => Promise<readonly string[] | undefined>;
};

const cacheSchema = z.record(
  z.string(),
  z.strictObject({ size: z.number(), changed: z.string(), sha256: z.string() }),
);

/** Remembers hashes in `<folder>/hashes.json`; the file is no more than a saving and may be deleted. */
export class HashCache {
  readonly #path: string;
  #known: z.infer<typeof cacheSchema> | undefined;
  #grown = false;
  readonly #verify: boolean;

  /** @param verify read every file, whatever is remembered of it. */
  constructor(folder: string, verify = false) {
    this.#path = join(folder, "hashes.json");
    this.#verify = verify;
  }

  async #load(): Promise<z.infer<typeof cacheSchema>> {
    if (this.#known === undefined) {
      try {
        this.#known = parseJson(await readText(this.#path), cacheSchema, this.#path);
      } catch {
        // A cache that is missing or broken costs a reading of the files, no more.
        this.#known = {};
      }
    }
    return this.#known;
  }

  /** SHA-256 of a file's content. @throws MahaloError E_FILE_READ */
  async hash(path: string): Promise<string> {
    const entries = await this.#load();
    try {
      const { size, mtimeNs } = await stat(path, { bigint: true });
      const changed = mtimeNs.toString();
      const entry = entries[path];
      const same = entry !== undefined && entry.size === Number(size) && entry.changed === changed;
      if (same && !this.#verify) return entry.sha256;
      const sha256 = await hashFile(path);
      entries[path] = { size: Number(size), changed, sha256 };
      this.#grown = true;
      return sha256;
    } catch (error) {
      throw errorCode(error) === undefined ? error : fileError("E_FILE_READ", "read", path, error);
    }
  }

  /** Writes the file if there is anything new, and if it can be written. */
  async save(): Promise<void> {
    if (!this.#grown) return;
    try {
      await writeJsonFile(this.#path, await this.#load());
    } catch (error) {
      // On a disk that is full or read-only, what is remembered is lost, and nothing else.
      if (!isUnwritable(error)) throw error;
    }
    this.#grown = false;
  }
}

/** One hash for all files of a source, whatever folder they lie in; undefined when they are not here and not fetched. */
export const hashSource = async (
  source: SourceFiles,
  cache: HashCache,
  fetch: boolean,
): Promise<string | undefined> => {
  const paths = await source.locate({ fetch });
  if (paths === undefined) return undefined;
  const hashes: string[] = [];
  for (const path of paths) hashes.push(await cache.hash(path));
  return hashes.length === 1 ? hashes[0] : hashBytes(canonicalJson(hashes));
};
