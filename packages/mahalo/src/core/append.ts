/** Adding many items to a list. */

/** Adds items behind a list, however many they are: as arguments of one `push`, a hundred thousand overflow the stack. */
export function append<Item>(list: Item[], items: Iterable<Item>): void {
  for (const item of items) list.push(item);
}
