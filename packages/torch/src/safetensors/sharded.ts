/** A model folder's tensors: `model.safetensors`, or shards under an index, read as one. */
import { readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { MahaloError } from "../error.ts";
import { checkRegular } from "../regular-file.ts";
import type { Tensor } from "../tensor.ts";
import { onFile } from "./errors.ts";
import { type LoadOptions, SafetensorsFile, type TensorStore } from "./file.ts";
import type { TensorEntry } from "./header.ts";
import { parseStrictJson } from "./strict-json.ts";

/** Ending of an index's name. */
export const INDEX_SUFFIX = ".safetensors.index.json";

/** An index, as Hugging Face writes it: which shard holds which tensor. */
const indexSchema = z.strictObject({
  metadata: z.record(z.string(), z.unknown()).optional(),
  weight_map: z.record(z.string(), z.string()),
});

const bad = (message: string): MahaloError =>
  new MahaloError("E_SAFETENSORS", message, { hint: "fetch or write the model again" });

const readIndex = (path: string): ReadonlyMap<string, string> => {
  const text = onFile(path, "read", () => {
    checkRegular(path);
    return readFileSync(path, "utf8");
  });
  const parsed = indexSchema.safeParse(parseStrictJson(text, path));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue?.path.map(String).join(".");
    throw bad(`${path}: ${field ? `${field}: ` : ""}${issue?.message ?? "has the wrong form"}`);
  }
  const map = new Map(Object.entries(parsed.data.weight_map));
  for (const [name, shard] of map) {
    // A name from outside must not lead out of the folder.
    if (shard !== basename(shard) || !shard.endsWith(".safetensors")) {
      throw bad(
        `${path}: weight_map: ${JSON.stringify(name)}: ${JSON.stringify(shard)} is not the file name of a shard`,
      );
    }
  }
  if (map.size === 0) throw bad(`${path}: weight_map names no tensor`);
  return map;
};

/** Shards under an index; tensors that the index does not list are left out. */
export class ShardedSafetensors implements TensorStore {
  readonly names: readonly string[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly #files: ReadonlyMap<string, SafetensorsFile>;
  readonly #path: string;

  /**
   * Reads the index and the header of every shard.
   *
   * @throws MahaloError `E_SAFETENSORS` where the index names a tensor that is not there, or one lies in
   *   another shard than the index says, `E_JSON_SYNTAX`,
   *   `E_SAFETENSORS_FILE`
   */
  constructor(path: string) {
    this.#path = path;
    const index = readIndex(path);
    const shards = new Map<string, SafetensorsFile>();
    for (const shard of [...new Set(index.values())].sort()) {
      shards.set(shard, new SafetensorsFile(join(dirname(path), shard)));
    }
    for (const [shard, { names }] of shards) {
      for (const name of names) {
        const listed = index.get(name);
        if (listed === undefined || listed === shard) continue;
        const text = JSON.stringify(name);
        throw bad(`${path}: weight_map: ${text} is listed in ${listed}, but is in ${shard} too or instead`);
      }
    }
    const files = new Map<string, SafetensorsFile>();
    for (const [name, shard] of index) {
      const file = shards.get(shard);
      if (file === undefined || !file.has(name))
        throw bad(`${path}: tensor ${JSON.stringify(name)} is not in its shard ${shard}`);
      files.set(name, file);
    }
    this.#files = files;
    this.names = [...shards.values()].flatMap((file) =>
      file.names.filter((name) => files.get(name) === file),
    );
    this.metadata = [...shards.values()][0]?.metadata ?? new Map();
  }

  #file(name: string): SafetensorsFile {
    const file = this.#files.get(name);
    if (file !== undefined) return file;
    throw new MahaloError("E_SAFETENSORS_NAME", `${this.#path}: lists no tensor ${JSON.stringify(name)}`, {
      hint: `it lists ${this.names.length}, the first is ${this.names[0]}`,
    });
  }

  entry(name: string): TensorEntry {
    return this.#file(name).entry(name);
  }
  tensor(name: string, options?: LoadOptions): Tensor {
    return this.#file(name).tensor(name, options);
  }
  bytes(name: string): Uint8Array {
    return this.#file(name).bytes(name);
  }
  close(): void {
    for (const file of new Set(this.#files.values())) file.close();
  }
}

/** True where there is a file of that name; a folder, or nothing, is not one. */
const isFile = (path: string): boolean =>
  onFile(path, "read", () => statSync(path, { throwIfNoEntry: false })?.isFile() === true);

/**
 * Opens a `.safetensors` file, a `*.safetensors.index.json`, or a model folder that holds one of them (stem `model`).
 *
 * @throws MahaloError `E_SAFETENSORS_FILE` where there is none, `E_SAFETENSORS` where one is damaged
 *
 * @example
 * const weights = openSafetensors("models/smollm2");
 * const norm_D = weights.tensor("model.norm.weight");
 */
export const openSafetensors = (path: string): TensorStore => {
  const stat = onFile(path, "read", () => statSync(path));
  if (!stat.isDirectory()) {
    return path.endsWith(INDEX_SUFFIX) ? new ShardedSafetensors(path) : new SafetensorsFile(path);
  }
  const single = join(path, "model.safetensors");
  if (isFile(single)) return new SafetensorsFile(single);
  const index = join(path, `model${INDEX_SUFFIX}`);
  if (isFile(index)) return new ShardedSafetensors(index);
  throw new MahaloError(
    "E_SAFETENSORS_FILE",
    `${path}: holds neither model.safetensors nor model${INDEX_SUFFIX}`,
    {
      hint: "name a folder with safetensors weights, or convert the model first",
    },
  );
};
