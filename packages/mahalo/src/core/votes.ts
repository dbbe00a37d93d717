/** Choosing among answers: the best by a number, and those that most of the weight votes for. */

/** The first of those with the highest value. */
export const firstBest = <T>(all: readonly T[], of: (one: T) => number): T | undefined =>
  all.reduce<T | undefined>(
    (best, one) => (best === undefined || of(one) > of(best) ? one : best),
    undefined,
  );

/**
 * The members of the class with the most weight, of classes with as much the one that came first; none where nobody votes.
 *
 * @param all those that vote alike have the same number; undefined for one that states nothing, which has no vote
 */
export const winners = <T extends { readonly vote?: number | undefined }>(
  all: readonly T[],
  weight: (one: T) => number,
): T[] => {
  const classes = new Map<number, T[]>();
  for (const one of all) {
    if (one.vote === undefined) continue;
    classes.set(one.vote, [...(classes.get(one.vote) ?? []), one]);
  }
  return (
    firstBest([...classes.values()], (members) => members.reduce((sum, one) => sum + weight(one), 0)) ?? []
  );
};
