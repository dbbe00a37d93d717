/** Deterministic release of native memory: a scope frees every tensor made inside it but those it returns. */
import { MahaloError } from "./error.ts";
import { native } from "./native.ts";
import type { Tensor } from "./tensor.ts";

/** Tensors made in the innermost open scope; undefined outside any. */
let current: Tensor[] | undefined;

/** Bytes told to the garbage collector for each tensor it is to watch. */
type Watched = { handle: number; bytes: number };
const registry = new FinalizationRegistry<Watched>(({ handle, bytes }) => {
  native.free(handle);
  native.adjustExternalMemory(-bytes);
});
const watched = new WeakMap<Tensor, Watched>();

/** Outside any scope the garbage collector frees a tensor, so it is told the bytes that it cannot see. */
const watch = (tensor: Tensor): void => {
  const bytes = native.describe(tensor.handle)[4];
  const entry = { handle: tensor.handle, bytes };
  watched.set(tensor, entry);
  registry.register(tensor, entry, tensor);
  native.adjustExternalMemory(bytes);
};

/** Called for every new tensor. */
export const adopt = (tensor: Tensor): void => {
  if (current !== undefined) current.push(tensor);
  else watch(tensor);
};

/** Called for a tensor that is freed by hand. */
export const disown = (tensor: Tensor): void => {
  const entry = watched.get(tensor);
  if (entry === undefined) return;
  watched.delete(tensor);
  registry.unregister(tensor);
  native.adjustExternalMemory(-entry.bytes);
};

type Disposable = { handle: number; dispose(): void };
const isTensor = (value: object): value is Disposable => "handle" in value && "dispose" in value;

/** Collects the tensors inside plain arrays, objects and maps. */
const collect = (value: unknown, into: Set<unknown>): void => {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  if (isTensor(value)) into.add(value);
  else if (value instanceof Map || Array.isArray(value))
    for (const item of value.values()) collect(item, into);
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) collect(item, into);
};

/**
 * Runs `body` and frees every tensor that it made, except those in what it returns (a tensor, or arrays, plain objects
 * and maps of tensors) and those passed to {@link keep}.
 *
 * Tensors that outlive a nested scope belong to the one around it. Bodies are synchronous: a promise is an error.
 *
 * @example
 * const loss = scope(() => criterion(model(x), y).item());
 */
export const scope = <T>(body: () => T): T => {
  const outer = current;
  const mine: Tensor[] = [];
  current = mine;
  let result: T;
  const kept = new Set<unknown>();
  try {
    result = body();
    collect(result, kept);
  } finally {
    current = outer;
    const free: number[] = [];
    for (const tensor of mine) {
      if (tensor.handle === 0) continue;
      if (kept.has(tensor) || keptByHand.has(tensor)) {
        if (keptByHand.delete(tensor)) watch(tensor);
        else adopt(tensor);
      } else {
        free.push(tensor.handle);
        tensor.handle = 0;
      }
    }
    if (free.length > 0) native.free(free);
  }
  if (result instanceof Promise) {
    throw new MahaloError("E_TORCH_SCOPE", "the body of scope() must not be asynchronous");
  }
  return result;
};

const keptByHand = new Set<Tensor>();

/** Lets a tensor outlive all open scopes; from then on dispose() or the garbage collector frees it. */
export const keep = <T extends Tensor>(tensor: T): T => {
  if (current !== undefined) keptByHand.add(tensor);
  return tensor;
};

/** How many native tensors are alive. */
export const liveTensors = (): number => native.liveTensors();
