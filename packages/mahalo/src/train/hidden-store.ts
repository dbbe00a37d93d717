/** Hidden states of a frozen backbone on disk: rows that any run has read are not computed again. */
import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import {
  MahaloError,
  openSafetensors,
  ops,
  scope,
  sweepTemporaries,
  type Tensor,
  type TensorStore,
  writeSafetensors,
} from "@mahalo/torch";
import { hashBytes } from "../core/files.ts";
import { canonicalJson } from "../core/json.ts";
import { computeIdentity } from "../core/machine.ts";

/** Raised when files of states have another form. */
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

/** Checksum of a row's bytes. */
const sumOf = (bytes: Uint8Array): string => hashBytes(bytes).slice(0, 16);

const bytesOf = (states: Tensor): Uint8Array => {
  const values = scope(() => ops.viewDtype(states, "uint8").toTypedArray());
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
};

/** Tells that a file was used just now, where that can be told. */
const markUsed = (path: string): void => {
  try {
    const now = new Date();
    utimesSync(path, now, now);
  } catch {
    // A folder that cannot be written to still gives what it holds.
  }
};

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
 * The files' name has a hash of all that states depend on: weights, dtype, and this machine's {@link computeIdentity}. They
 * are read by mapping, and one that is damaged is passed over, since what it held can be computed.
 */
export class HiddenStore {
  readonly #folder: string;
  readonly #prefix: string;
  readonly #maxBytes: number;
  readonly #segments: TensorStore[] = [];
  readonly #where = new Map<string, TensorStore>();
  readonly #written = new Set<string>();

  constructor({ folder, weights, compute, maxBytes }: HiddenStoreOptions) {
    const key = { version: storeVersion, weights, compute, ...computeIdentity() };
    this.#folder = folder;
    this.#prefix = `states-${hashBytes(canonicalJson(key)).slice(0, 16)}-`;
    this.#maxBytes = maxBytes;
    for (const name of this.#names()) {
      const path = join(folder, name);
      if (!name.startsWith(this.#prefix)) continue;
      markUsed(path);
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

  /** A row's states [N, D], which belong to the caller's scope; undefined where it has none, or damaged ones. */
  read(key: string): Tensor | undefined {
    const segment = this.#where.get(key);
    try {
      if (segment === undefined || segment.metadata.get(key) !== sumOf(segment.bytes(key))) return undefined;
      return segment.tensor(key);
    } catch (error) {
      // Another run may have taken the file away, or marked it as used, since it was opened.
      if (error instanceof MahaloError) return undefined;
      throw error;
    }
  }

  /** Writes rows that are not there yet, as far as the bound allows. */
  write(rows: ReadonlyMap<string, Tensor>): void {
    const fresh = new Map([...rows].filter(([key]) => !this.#where.has(key) && !this.#written.has(key)));
    const bytes = [...fresh.values()].reduce((sum, states) => sum + states.bytes, 0);
    if (fresh.size === 0 || bytes > this.#maxBytes) return;
    mkdirSync(this.#folder, { recursive: true });
    sweepTemporaries(this.#folder);
    this.#makeRoom(bytes);
    const name = `${this.#prefix}${hashBytes([...fresh.keys()].join(" ")).slice(0, 16)}.safetensors`;
    const sums = [...fresh].map(([key, states]) => [key, sumOf(bytesOf(states))]);
    writeSafetensors(join(this.#folder, name), Object.fromEntries(fresh), {
      metadata: Object.fromEntries(sums),
    });
    for (const key of fresh.keys()) this.#written.add(key);
  }

  /** Lets go of the mapped files. */
  close(): void {
    for (const segment of this.#segments) segment.close();
    this.#segments.length = 0;
    this.#where.clear();
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder).filter(isSegment);
    } catch {
      // What cannot be listed holds nothing that could be used.
      return [];
    }
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
