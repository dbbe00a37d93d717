/** Deterministic release of native memory: a scope frees every tensor made inside it but those it returns. */
import { MahaloError } from "./error.ts";
import { type Handle, native } from "./native.ts";

/** What a scope frees: a tensor, of which it knows the handle alone. */
type Held = { handle: Handle };

/** One open scope: the tensors made in it so far, and the scope around it. */
type Frame = { made: Set<Held>; outer: Frame | undefined };
let current: Frame | undefined;

/** What the garbage collector is to free: a handle, and the storage whose bytes it was told. */
type Watched = { handle: number; storage: number };
/** Bytes of every storage that watched tensors hold, told once however many views there are. */
const storages = new Map<number, { bytes: number; holders: number }>();

const release = ({ handle, storage }: Watched): void => {
  native.free(handle);
  const entry = storages.get(storage);
  if (entry === undefined) return;
  entry.holders -= 1;
  if (entry.holders > 0) return;
  storages.delete(storage);
  native.adjustExternalMemory(-entry.bytes);
};
const registry = new FinalizationRegistry<Watched>(release);
const watched = new WeakMap<Held, Watched>();

/** Outside any scope the garbage collector frees a tensor, so it is told the bytes that it cannot see. */
const watch = (tensor: Held): void => {
  const { handle } = tensor;
  const storage = native.storageId(handle);
  const entry = storages.get(storage);
  if (entry !== undefined) entry.holders += 1;
  else {
    const bytes = native.describe(handle)[4];
    storages.set(storage, { bytes, holders: 1 });
    native.adjustExternalMemory(bytes);
  }
  watched.set(tensor, { handle, storage });
  registry.register(tensor, { handle, storage }, tensor);
};

/** Called for every new tensor. */
export const adopt = (tensor: Held): void => {
  if (current !== undefined) current.made.add(tensor);
  else watch(tensor);
};

/** Takes a tensor out of the scope that made it; false when no open scope did. */
const leaveScope = (tensor: Held): boolean => {
  for (let frame = current; frame !== undefined; frame = frame.outer) {
    if (frame.made.delete(tensor)) return true;
  }
  return false;
};

/** Frees a tensor's native reference by hand, whoever was to free it. */
export const disown = (tensor: Held): void => {
  const entry = watched.get(tensor);
  if (entry === undefined) {
    leaveScope(tensor);
    native.free(tensor.handle);
    return;
  }
  watched.delete(tensor);
  registry.unregister(tensor);
  release(entry);
};

type Disposable = { handle: number; dispose(): void };
const isTensor = (value: object): value is Disposable => "handle" in value && "dispose" in value;

const isPlain = (value: object): boolean => {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

/** Collects the tensors inside plain arrays, objects, maps and sets; what was seen is not entered again. */
const collect = (value: unknown, seen: Set<unknown>): void => {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || seen.has(value)) return;
  seen.add(value);
  if (isTensor(value)) return;
  if (value instanceof Map) for (const entry of value) collect(entry, seen);
  else if (value instanceof Set || Array.isArray(value)) for (const item of value) collect(item, seen);
  else if (isPlain(value)) for (const item of Object.values(value)) collect(item, seen);
};

/**
 * Hands `result` back unless it is a promise: what comes after its first `await` would run outside of what `name` set up.
 *
 * @throws MahaloError `E_TORCH_SCOPE`
 */
export const refusePromise = <T>(name: string, result: T): T => {
  if (typeof result !== "object" || result === null || !("then" in result)) return result;
  // The rest of the body may well fail for want of its freed tensors; the error below is the one to see.
  if (result instanceof Promise) result.catch(() => undefined);
  throw new MahaloError("E_TORCH_SCOPE", `the body of ${name}() must not be asynchronous`, {
    hint: `await outside, and call ${name}() on the synchronous part`,
  });
};

/**
 * Runs `body` and frees every tensor that it made, except those in what it returns (a tensor, or arrays, plain objects,
 * maps and sets of tensors) and those passed to {@link keep}. Instances of classes are not looked into.
 *
 * Tensors that outlive a nested scope belong to the one around it. Bodies are synchronous: a promise is an error
 * (`E_TORCH_SCOPE`). An exception frees everything that the body made.
 *
 * @example
 * const loss = scope(() => criterion(model(x), y).item());
 */
export const scope = <T>(body: () => T): T => {
  const outer = current;
  const mine: Frame = { made: new Set(), outer };
  current = mine;
  let returned = new Set<unknown>();
  try {
    const result = refusePromise("scope", body());
    const seen = new Set<unknown>();
    collect(result, seen);
    returned = seen;
    return result;
  } finally {
    current = outer;
    const free: number[] = [];
    for (const tensor of mine.made) {
      if (returned.has(tensor)) adopt(tensor);
      else {
        free.push(tensor.handle);
        tensor.handle = 0;
      }
    }
    if (free.length > 0) native.free(free);
  }
};

/** Lets a tensor outlive all open scopes; from then on dispose() or the garbage collector frees it. */
export const keep = <T extends Held>(tensor: T): T => {
  if (leaveScope(tensor)) watch(tensor);
  return tensor;
};

/** How many native tensors are alive. */
export const liveTensors = (): number => native.liveTensors();
