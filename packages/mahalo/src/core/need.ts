/** Reads what must be there; where it is not, mahalo is at fault, and says so rather than go on with a default. */
import { MahaloError } from "@mahalo/torch";

/**
 * Ends what cannot be right because of a mistake in mahalo itself.
 *
 * @throws MahaloError E_INTERNAL, always
 */
export function bug(message: string): never {
  throw new MahaloError("E_INTERNAL", message, {
    hint: "this is a bug in mahalo; please report it",
    exitStatus: 1,
  });
}

/**
 * A value that must be there.
 *
 * @param what names it in the error, for example `the row's prompt`
 */
export function need<T>(value: T | undefined, what: string): T {
  if (value === undefined) bug(`${what} is missing`);
  return value;
}

/**
 * The element of a list, a typed array or a text at an index where one must be.
 *
 * @param what names it in the error
 *
 * @example element(["a", "b"], 2, "name") // E_INTERNAL: name 2 of 2 is missing
 */
export function element<T>(list: ArrayLike<T>, index: number, what = "element"): T {
  const value = list[index];
  if (value === undefined) bug(`${what} ${index} of ${list.length} is missing`);
  return value;
}

/** The last element of a list that must have one. */
export function lastOf<T>(list: ArrayLike<T>, what = "element"): T {
  return element(list, list.length - 1, what);
}

/** The value of a key that a map must have. */
export function lookUp<K, V>(map: { get(key: K): V | undefined }, key: K, what = "key"): V {
  const value = map.get(key);
  if (value === undefined) bug(`${what} ${String(key)} is missing`);
  return value;
}

/**
 * Two lists of one length and without gaps, as pairs.
 *
 * @example zip(["a", "b"], [1, 2]) // [["a", 1], ["b", 2]]
 */
export function zip<A, B>(left: ArrayLike<A>, right: ArrayLike<B>): [A, B][] {
  if (left.length !== right.length) bug(`lists of ${left.length} and ${right.length} do not pair`);
  return Array.from(left, (value, index) => {
    if (!Object.hasOwn(left, index) || !Object.hasOwn(right, index))
      bug(`a pair's element ${index} of ${left.length} is missing`);
    return [value, right[index] as B];
  });
}
