/** One safetensors file: header checked when opened, tensors memory-mapped or copied when asked for. */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { MahaloError } from "../error.ts";
import * as ops from "../ops.generated.ts";
import { checkRegular } from "../regular-file.ts";
import { keep, scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { storedBytes, toDType } from "./dtypes.ts";
import { onFile } from "./errors.ts";
import { headerLength, LENGTH_BYTES, parseHeader, type TensorEntry } from "./header.ts";

/** How {@link TensorStore.tensor} gives a tensor. */
export type LoadOptions = {
  /**
   * True: a view of the memory-mapped file, read from the disk as it is touched; writing to it never reaches the file.
   * False (default): a copy in memory of its own.
   */
  mapped?: boolean;
};

/** Named tensors in one or several files. */
export type TensorStore = {
  /** Names in the order of the data. */
  readonly names: readonly string[];
  /** The writer's own text; of the first file where there are several. */
  readonly metadata: ReadonlyMap<string, string>;
  /** dtype, shape and size without reading the data. @throws MahaloError `E_SAFETENSORS_NAME` */
  entry(name: string): TensorEntry;
  /** A tensor on the CPU. @throws MahaloError `E_SAFETENSORS_NAME`, `E_SAFETENSORS`, `E_SAFETENSORS_FILE` */
  tensor(name: string, options?: LoadOptions): Tensor;
  /** The data bit for bit, little-endian, row-major, in memory of its own. @throws as `tensor` */
  bytes(name: string): Uint8Array;
  /** Lets go of the mapped file; tensors given out stay valid. */
  close(): void;
};

/** What tells a file from one that was put in its place. */
const identity = ({ ino, size, mtimeMs }: { ino: number; size: number; mtimeMs: number }): string =>
  `${ino} ${size} ${mtimeMs}`;

const readFully = (fd: number, into: Uint8Array, position: number, path: string): void => {
  let done = 0;
  while (done < into.byteLength) {
    // One call reads at most 2 GiB.
    const length = Math.min(into.byteLength - done, 1 << 30);
    const read = readSync(fd, into, done, length, position + done);
    if (read === 0)
      throw new MahaloError("E_SAFETENSORS", `${path}: the file ends at byte ${position + done}`);
    done += read;
  }
};

/** Opens a file, works, closes it. */
const withFile = <T>(path: string, work: (fd: number) => T): T =>
  onFile(path, "read", () => {
    checkRegular(path);
    const fd = openSync(path, "r");
    try {
      return work(fd);
    } finally {
      closeSync(fd);
    }
  });

/** An open safetensors file; holds no descriptor, so that forgetting `close` costs nothing but address space. */
export class SafetensorsFile implements TensorStore {
  readonly path: string;
  readonly names: readonly string[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly #entries: ReadonlyMap<string, TensorEntry>;
  readonly #identity: string;
  readonly #fileBytes: number;
  #map: Tensor | undefined;

  /**
   * Reads and checks the header.
   *
   * @throws MahaloError `E_SAFETENSORS` for a file that breaks a rule of the format, `E_SAFETENSORS_FILE`
   */
  constructor(path: string) {
    this.path = path;
    const { header, stat } = withFile(path, (fd) => {
      const stat = fstatSync(fd);
      const first = new Uint8Array(Math.min(LENGTH_BYTES, stat.size));
      readFully(fd, first, 0, path);
      const json = new Uint8Array(headerLength(first, stat.size, path));
      readFully(fd, json, LENGTH_BYTES, path);
      return { header: parseHeader(json, stat.size, path), stat };
    });
    this.metadata = header.metadata;
    this.names = header.tensors.map((entry) => entry.name);
    this.#entries = new Map(header.tensors.map((entry) => [entry.name, entry]));
    this.#identity = identity(stat);
    this.#fileBytes = stat.size;
  }

  /** Whether the file holds a tensor of that name. */
  has(name: string): boolean {
    return this.#entries.has(name);
  }

  entry(name: string): TensorEntry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    const some = this.names.slice(0, 5).join(", ");
    throw new MahaloError("E_SAFETENSORS_NAME", `${this.path}: holds no tensor ${JSON.stringify(name)}`, {
      hint: `it holds ${this.names.length}: ${some}${this.names.length > 5 ? ", ..." : ""}`,
    });
  }

  /** Reading by an old header from a file written anew would give wrong numbers, or crash where it is mapped. */
  #checkUnchanged(current: string): void {
    if (current === this.#identity) return;
    throw new MahaloError("E_SAFETENSORS", `${this.path}: changed since it was opened`, {
      hint: "open it again",
    });
  }

  #mapped(): Tensor {
    if (this.#map === undefined) {
      this.#checkUnchanged(onFile(this.path, "read", () => identity(statSync(this.path))));
      this.#map = keep(ops.fromFile(this.path, false, this.#fileBytes, { dtype: "uint8" }));
    }
    return this.#map;
  }

  tensor(name: string, { mapped = false }: LoadOptions = {}): Tensor {
    const { dtype, shape, start, bytes } = this.entry(name);
    return scope(() => {
      if (bytes === 0) return ops.empty(shape, { dtype: toDType(dtype) });
      let raw = ops.narrow(this.#mapped(), 0, start, bytes);
      if (dtype === "BOOL") this.#checkBooleans(name, raw);
      // A header may put data at an odd place; only a copy can then be read as wider elements.
      if (!mapped || start % storedBytes(dtype) !== 0) raw = ops.clone(raw);
      return ops.view(ops.viewDtype(raw, toDType(dtype)), shape);
    });
  }

  /** A byte that is neither 0 nor 1 is no C++ bool: what operators make of it is undefined. */
  #checkBooleans(name: string, raw: Tensor): void {
    if (raw.toTypedArray().some((byte) => Number(byte) > 1)) {
      throw new MahaloError(
        "E_SAFETENSORS",
        `${this.path}: tensor ${JSON.stringify(name)}: a BOOL byte is neither 0 nor 1`,
        { hint: "the file is damaged; fetch or write it again" },
      );
    }
  }

  bytes(name: string): Uint8Array {
    const { start, bytes } = this.entry(name);
    return withFile(this.path, (fd) => {
      this.#checkUnchanged(identity(fstatSync(fd)));
      const data = new Uint8Array(bytes);
      readFully(fd, data, start, this.path);
      return data;
    });
  }

  close(): void {
    this.#map?.dispose();
    this.#map = undefined;
  }
}
