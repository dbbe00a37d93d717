/** Loads the addon and gives its functions types; nothing else in the package touches native code. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ADDON, RECORD, SET_UP_COMMAND } from "../setup/paths.mjs";
import { MahaloError } from "./error.ts";
import { checkInstructionSet, holdLibraries, requestedInstructionSet } from "./isa.ts";

/** A native tensor by number: slot and generation, so that a freed one is an error and never another tensor. */
export type Handle = number;

/** Element types, by libtorch's names. */
export type DType =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "int8"
  | "uint8"
  | "int16"
  | "int32"
  | "int64"
  | "bool";

/** What an operator takes and gives, as the boxed call sees it. */
export type Value = number | bigint | boolean | string | null | undefined | readonly Value[];

type Native = {
  setErrorFactory(make: (code: string, message: string) => Error): void;
  resolve(name: string, overload: string): number;
  call(id: number, ...args: Value[]): unknown;
  schemas(name: string): string[];
  fromBytes(data: ArrayBufferView, dtype: DType, shape: readonly number[]): Handle;
  toBytes(tensor: Handle, into: ArrayBufferView): void;
  describe(tensor: Handle): [DType, string, boolean, boolean, number, ...number[]];
  storageId(tensor: Handle): number;
  isContiguous(tensor: Handle): boolean;
  item(tensor: Handle): number;
  free(tensors: Handle | readonly Handle[]): void;
  liveTensors(): number;
  adjustExternalMemory(change: number): number;
  backward(outputs: readonly Handle[], gradients: readonly (Handle | null)[], retainGraph: boolean): void;
  gradients(
    outputs: readonly Handle[],
    inputs: readonly Handle[],
    gradients: readonly (Handle | null)[],
    retainGraph: boolean,
    allowUnused: boolean,
  ): (Handle | null)[];
  gradientOf(tensor: Handle): Handle | null;
  setGradient(tensor: Handle, gradient: Handle | null): void;
  setRequiresGrad(tensor: Handle, on: boolean): void;
  setGradMode(on: boolean): boolean;
  manualSeed(seed: number): void;
  createGenerator(seed: number, device: string): number;
  freeGenerator(generator: number): void;
  generatorState(generator: number): Handle;
  setGeneratorState(generator: number, state: Handle): void;
  setThreads(threads: number): void;
  threads(): number;
  version(): string;
  config(): string;
  /** The instruction set in use, and the best that the processor has. */
  instructionSets(): [string, string];
  loadLibrary(path: string): void;
  lockFile(fd: number): number;
  hasCuda(): boolean;
};

const HINTS: Record<string, string | undefined> = {
  E_TORCH_MEMORY: "use a smaller batch or fewer tokens, or close other programs",
};

/**
 * How long a thread that waits for the others asks again and again before it sleeps. The thread library's own 300,000 times
 * are some milliseconds, in which a waiting thread keeps the processor from the one it waits for where other programs run.
 */
const SPIN_COUNT = "1000";

/** Sets how threads wait, unless the user has; the library reads it as it is loaded. Gives what sets it back for children. */
const setWaiting = (): (() => void) => {
  const { GOMP_SPINCOUNT, OMP_WAIT_POLICY } = process.env;
  if (GOMP_SPINCOUNT !== undefined || OMP_WAIT_POLICY !== undefined) return () => {};
  process.env.GOMP_SPINCOUNT = SPIN_COUNT;
  return () => {
    delete process.env.GOMP_SPINCOUNT;
  };
};

const load = (): Native => {
  if (!existsSync(ADDON)) {
    throw new MahaloError("E_TORCH_NOT_BUILT", "the native addon of @mahalo/torch has not been compiled", {
      hint: `run: ${SET_UP_COMMAND}`,
    });
  }
  const set = requestedInstructionSet();
  holdLibraries(set);
  let native: Native;
  const restore = setWaiting();
  try {
    native = createRequire(import.meta.url)(ADDON) as Native;
  } catch (cause) {
    throw new MahaloError("E_TORCH_LOAD", `${ADDON}: ${String(cause)}`, {
      hint: `libtorch may have moved; run: ${SET_UP_COMMAND}`,
      cause,
    });
  } finally {
    restore();
  }
  native.setErrorFactory(
    (code, message) => new MahaloError(code, message, { exitStatus: 1, hint: HINTS[code] }),
  );
  checkInstructionSet(set, ...native.instructionSets());
  loadCuda(native);
  return native;
};

/** Where set-up found a GPU and a libtorch with CUDA, its kernels are loaded beside the CPU's. */
const loadCuda = (native: Native): void => {
  if (!existsSync(RECORD)) return;
  const text = readFileSync(RECORD, "utf8");
  if (!/"cuda":\s*true/.test(text)) return;
  const library = /"lib":\s*"([^"]+)"/.exec(text)?.[1];
  if (library) native.loadLibrary(join(library, "libtorch_cuda.so"));
};

/** The addon's functions; errors they throw are {@link MahaloError}s that name the operator and the shapes. */
export const native: Native = load();
