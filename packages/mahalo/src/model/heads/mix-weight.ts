/** What a mix says of one objective. */

/** The weight of an objective in a mix; 0 where the mix does not name it, or there is none. */
export function weightIn(mix: Readonly<Record<string, number>> | undefined, objective: string): number {
  const weight = mix !== undefined && Object.hasOwn(mix, objective) ? mix[objective] : undefined;
  return weight ?? 0;
}
