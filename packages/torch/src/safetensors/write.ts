/** Writes safetensors files bit for bit, atomically, in one file or in shards with an index. */
import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { MahaloError } from "../error.ts";
import { followLinks, makeFolder, sweepTemporaries, temporaryFile } from "../files.ts";
import type { DType } from "../native.ts";
import { Tensor } from "../tensor.ts";
import { storedBytes, toStored } from "./dtypes.ts";
import { onFile, systemCode } from "./errors.ts";
import { planFile, type TensorPlan } from "./header.ts";
import { INDEX_SUFFIX } from "./sharded.ts";

/** Data that is no Tensor, made when it is written: little-endian, row-major. */
export type RawTensor = { dtype: DType; shape: readonly number[]; bytes(): Uint8Array };

/** What to write, by name. */
export type NamedTensors =
  | ReadonlyMap<string, Tensor | RawTensor>
  | { readonly [name: string]: Tensor | RawTensor };

/** Options of {@link writeSafetensors}. */
export type WriteOptions = {
  /** Text kept in the header. Default none. */
  metadata?: Readonly<Record<string, string>>;
};

const entriesOf = (tensors: NamedTensors): [string, Tensor | RawTensor][] =>
  tensors instanceof Map ? [...tensors] : Object.entries(tensors);

const planOf = ([name, { dtype, shape }]: [string, Tensor | RawTensor]): TensorPlan => ({
  name,
  dtype: toStored(dtype),
  shape,
});

const dataOf = (tensor: Tensor | RawTensor): Uint8Array => {
  if (!(tensor instanceof Tensor)) return tensor.bytes();
  const array = tensor.toTypedArray();
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
};

const writeFully = (fd: number, data: Uint8Array): void => {
  let done = 0;
  // One call writes at most 2 GiB.
  while (done < data.byteLength) done += writeSync(fd, data, done, Math.min(data.byteLength - done, 1 << 30));
};

/** A rename survives a power cut once its folder is synced; file systems that cannot do that are let be. */
const syncFolder = (path: string): void => {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } catch (error) {
    if (!["EISDIR", "EINVAL", "EPERM", "ENOTSUP"].includes(systemCode(error))) throw error;
  } finally {
    closeSync(fd);
  }
};

/** Writes chunks under a temporary name, syncs, renames: readers see the old file or the new one. Links are followed. */
const writeAtomic = (path: string, write: (put: (data: Uint8Array) => void) => void): void =>
  onFile(path, "write", () => {
    const target = followLinks(path);
    const folder = dirname(target);
    makeFolder(folder);
    sweepTemporaries(folder);
    const mode = statSync(target, { throwIfNoEntry: false })?.mode;
    const temporary = temporaryFile(folder, mode === undefined ? undefined : mode & 0o777);
    try {
      write((data) => writeFully(temporary.fd, data));
      fsyncSync(temporary.fd);
      renameSync(temporary.path, target);
      temporary.release();
    } catch (error) {
      temporary.remove();
      throw error;
    }
    syncFolder(folder);
  });

/**
 * Writes one file: equal tensors and metadata give equal bytes.
 *
 * @param path file to write; its folder is made where it is missing.
 * @throws MahaloError `E_SAFETENSORS_WRITE` for a name that cannot be written or data that does not fit its shape,
 *   `E_SAFETENSORS_FILE`
 *
 * @example writeSafetensors("moments.safetensors", optimizer.state(), { metadata: { step: "20" } });
 */
export const writeSafetensors = (
  path: string,
  tensors: NamedTensors,
  { metadata = {} }: WriteOptions = {},
): void => {
  const entries = entriesOf(tensors);
  const byName = new Map(entries);
  const plan = planFile(entries.map(planOf), new Map(Object.entries(metadata)));
  writeAtomic(path, (put) => {
    put(plan.head);
    for (const { name, bytes } of plan.tensors) {
      const tensor = byName.get(name);
      const data = tensor === undefined ? new Uint8Array() : dataOf(tensor);
      if (data.byteLength !== bytes) {
        throw new MahaloError(
          "E_SAFETENSORS_WRITE",
          `${path}: tensor ${JSON.stringify(name)}: ${data.byteLength} bytes given, ${bytes} expected`,
          { exitStatus: 1 },
        );
      }
      put(data);
    }
  });
};

/** Options of {@link writeSafetensorsFolder}. */
export type FolderOptions = WriteOptions & {
  /** Data bytes a shard may hold; a larger tensor gets a shard of its own. Default 5e9, as transformers has it. */
  maxShardBytes?: number;
};

const bytesOf = ({ dtype, shape }: Tensor | RawTensor): number =>
  shape.reduce((product, size) => product * size, storedBytes(toStored(dtype)));

/** Fills shards in the given order. */
const shard = (entries: [string, Tensor | RawTensor][], limit: number): [string, Tensor | RawTensor][][] => {
  const shards: [string, Tensor | RawTensor][][] = [[]];
  let filled = 0;
  for (const entry of entries) {
    const bytes = bytesOf(entry[1]);
    if (filled > 0 && filled + bytes > limit) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)?.push(entry);
    filled += bytes;
  }
  return shards;
};

/** Files of an earlier model that the new one would be taken together with. */
const removeOthers = (folder: string, kept: ReadonlySet<string>): void => {
  for (const name of readdirSync(folder)) {
    const ours = /^model(-\d{5}-of-\d{5})?\.safetensors$/.test(name) || name === `model${INDEX_SUFFIX}`;
    if (ours && !kept.has(name)) rmSync(join(folder, name));
  }
};

/**
 * Writes a model folder's weights as transformers does: `model.safetensors`, or
 * `model-00001-of-0000N.safetensors` with `model.safetensors.index.json`.
 *
 * Weights that lay in the folder before are replaced. Each file is whole or not there; for a folder that is whole or
 * not there, write to a new one and rename it.
 *
 * @param options `metadata` defaults to `{ format: "pt" }`, which transformers asks for.
 * @returns names of the files written.
 * @throws as {@link writeSafetensors}
 */
export const writeSafetensorsFolder = (
  folder: string,
  tensors: NamedTensors,
  { metadata = { format: "pt" }, maxShardBytes = 5e9 }: FolderOptions = {},
): string[] => {
  const shards = shard(entriesOf(tensors), maxShardBytes);
  const number = (n: number): string => String(n).padStart(5, "0");
  const files: string[] = [];
  const weightMap: Record<string, string> = {};
  let total = 0;
  for (const [i, entries] of shards.entries()) {
    const file =
      shards.length === 1
        ? "model.safetensors"
        : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    files.push(file);
    writeSafetensors(join(folder, file), new Map(entries), { metadata });
    for (const [name, tensor] of entries) {
      weightMap[name] = file;
      total += bytesOf(tensor);
    }
  }
  if (shards.length > 1) {
    const index = { metadata: { total_size: total }, weight_map: weightMap };
    const file = `model${INDEX_SUFFIX}`;
    writeAtomic(join(folder, file), (put) => put(Buffer.from(`${JSON.stringify(index, null, 2)}\n`)));
    files.push(file);
  }
  onFile(folder, "tidy", () => removeOthers(folder, new Set(files)));
  return files;
};
