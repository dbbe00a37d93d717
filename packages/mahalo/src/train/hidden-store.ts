/** Hidden states of a frozen backbone on disk: rows that any run has read are not computed again. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import {
  instructionSet,
  MahaloError,
  openSafetensors,
  type Tensor,
  type TensorStore,
  torchVersion,
  writeSafetensors,
} from "@mahalo/torch";
import { hashBytes } from "../core/files.ts";
import { canonicalJson } from "../core/json.ts";

/** Raised when equal rows would give other states than before. */
const storeVersion = 1;

/** Options of {@link HiddenStore}. */
export type HiddenStoreOptions = {
  /** Folder of all stores. */
  folder: string;
  /** What identifies the backbone's weights: a content hash. */
  weights: string;
  /** Dtype that it computes in. */
  compute: string;
  /** Most bytes of all stores in the folder; those that were used longest ago go first. 0 keeps nothing. */
  maxBytes: number;
};

const isSegment = (name: string): boolean => /^states-[0-9a-f]{16}-[0-9a-f]{16}\.safetensors$/.test(name);

/** A file of states; undefined for one that cannot be read. */
const openIntact = (path: string): TensorStore | undefined => {
  try {
    return openSafetensors(path);
  } catch (error) {
    if (error instanceof MahaloError) return undefined;
    throw error;
  }
};

/**
 * States by a row's key, in files that are written once, each with the rows that one run has added.
 *
 * The files' name has a hash of all that states depend on: weights, dtype, instruction set and libtorch. They are read
 * by mapping, and one that is damaged is passed over, since what it held can be computed.
 */
export class HiddenStore {
  readonly #folder: string;
  readonly #prefix: string;
  readonly #maxBytes: number;
  readonly #segments: TensorStore[] = [];
  readonly #where = new Map<string, TensorStore>();
  readonly #written = new Set<string>();

  constructor({ folder, weights, compute, maxBytes }: HiddenStoreOptions) {
    const key = {
      version: storeVersion,
      weights,
      compute,
      instructions: instructionSet(),
      torch: torchVersion(),
    };
    this.#folder = folder;
    this.#prefix = `states-${hashBytes(canonicalJson(key)).slice(0, 16)}-`;
    this.#maxBytes = maxBytes;
    for (const name of this.#names()) {
      const path = join(folder, name);
      if (!name.startsWith(this.#prefix)) continue;
      const now = new Date();
      utimesSync(path, now, now);
      const segment = openIntact(path);
      if (segment === undefined) continue;
      this.#segments.push(segment);
      for (const row of segment.names) this.#where.set(row, segment);
    }
  }

  /** Rows that it holds. */
  get rows(): number {
    return this.#where.size;
  }

  /** A row's states [N, D], which belong to the caller's scope; undefined where it has none. */
  read(key: string): Tensor | undefined {
    return this.#where.get(key)?.tensor(key);
  }

  /** Writes rows that are not there yet, as far as the bound allows. */
  write(rows: ReadonlyMap<string, Tensor>): void {
    const fresh = new Map([...rows].filter(([key]) => !this.#where.has(key) && !this.#written.has(key)));
    const bytes = [...fresh.values()].reduce((sum, states) => sum + states.bytes, 0);
    if (fresh.size === 0 || bytes > this.#maxBytes) return;
    mkdirSync(this.#folder, { recursive: true });
    this.#makeRoom(bytes);
    const name = `${this.#prefix}${hashBytes([...fresh.keys()].join(" ")).slice(0, 16)}.safetensors`;
    const temporary = join(this.#folder, `.${name}.${process.pid}.tmp`);
    writeSafetensors(temporary, Object.fromEntries(fresh));
    renameSync(temporary, join(this.#folder, name));
    for (const key of fresh.keys()) this.#written.add(key);
  }

  /** Lets go of the mapped files. */
  close(): void {
    for (const segment of this.#segments) segment.close();
    this.#segments.length = 0;
    this.#where.clear();
  }

  #names(): string[] {
    return existsSync(this.#folder) ? readdirSync(this.#folder).filter(isSegment) : [];
  }

  #makeRoom(bytes: number): void {
    const files = this.#names().map((name) => {
      const path = join(this.#folder, name);
      const { size, mtimeMs } = statSync(path);
      return { path, size, mtimeMs };
    });
    let total = files.reduce((sum, { size }) => sum + size, bytes);
    for (const { path, size } of files.toSorted((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= this.#maxBytes) return;
      rmSync(path, { force: true });
      total -= size;
    }
  }
}
