/** What libtorch runs on: version, threads, devices. */
import { native } from "./native.ts";

/** Version of libtorch, for example 2.15.0. */
export const torchVersion = (): string => native.version();
/** How libtorch was built: its BLAS, CPU abilities and thread pools, as text. */
export const torchConfig = (): string => native.config();
/** Threads one operator may use. */
export const getThreads = (): number => native.threads();
export const setThreads = (threads: number): void => native.setThreads(threads);
/** Whether CUDA kernels are loaded and a GPU answers. */
export const hasCuda = (): boolean => native.hasCuda();

/** The instruction set that our kernels use: `plain`, `avx2`, `avx512`, `avx512-bf16` or `amx`. */
export const instructionSet = (): string => native.instructionSets()[0];
