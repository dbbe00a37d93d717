/** Reads what must be there; where it is not, this package is at fault, and says so rather than go on with a default. */

function bug(message: string): never {
  throw new Error(`${message}: this is a mistake in @mahalo/math-verify; please report it`);
}

/** A value that must be there; `what` names it in the error. */
export function need<T>(value: T | undefined, what: string): T {
  return value === undefined ? bug(`${what} is missing`) : value;
}

/** The element of a list or a text at an index where one must be. */
export function element<T>(list: ArrayLike<T>, index: number): T {
  return need(list[index], `element ${index} of ${list.length}`);
}

/** Two lists of one length and without gaps, as pairs. */
export function zip<A, B>(left: readonly A[], right: readonly B[]): [A, B][] {
  if (left.length !== right.length) bug(`lists of ${left.length} and ${right.length} do not pair`);
  return left.map((value, index) => [value, element(right, index)]);
}
