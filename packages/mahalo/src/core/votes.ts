/** Choosing among answers: the best by a number, and those that most of the weight votes for. */

/** The first of those with the highest value. */
export const firstBest = <T>(all: readonly T[], of: (item: T) => number): T | undefined =>
  all.reduce<T | undefined>(
    (best, item) => (best === undefined || of(item) > of(best) ? item : best),
    undefined,
  );

/**
 * The members of the class with the most weight, of classes with as much the one that came first; none where nobody votes.
 *
 * @param all those that vote alike have the same number; undefined for one that states nothing, which has no vote
 */
export const winners = <T extends { readonly vote?: number | undefined }>(
  all: readonly T[],
  weight: (member: T) => number,
): T[] => {
  const classes = new Map<number, T[]>();
  for (const candidate of all) {
    if (candidate.vote === undefined) continue;
    classes.set(candidate.vote, [...(classes.get(candidate.vote) ?? []), candidate]);
  }
  return (
    firstBest([...classes.values()], (members) => members.reduce((sum, member) => sum + weight(member), 0)) ??
    []
  );
};
