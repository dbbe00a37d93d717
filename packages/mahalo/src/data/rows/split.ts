/** Chooses rows: a seeded held-out split by prompt, and a limit for each objective. */
import { MahaloError } from "@mahalo/torch";
import { lookUp } from "../../core/need.ts";
import { rng } from "../../core/random.ts";
import { type Prompt, promptKey } from "./rows.ts";

/** What splitting needs of a row. */
export type SplitRow = {
  objective: string;
  prompt: Prompt;
  /** Held out whatever is drawn, as its file is one of held-out rows. An objective with such rows has none drawn. */
  heldOut?: boolean | undefined;
};

/** Options of {@link splitRows}. */
export type SplitOptions = {
  seed: number;
  /** Share of each objective's rows to hold out, in [0, 1). */
  heldOut: number;
  /** Most held-out rows of an objective; the rest of a held-out prompt's rows is used on neither side. */
  maxHeldOut?: number;
};

/**
 * Splits rows into training and held-out ones by prompt: all rows of one prompt, of whatever objective, are on one
 * side, so that no held-out prompt was ever trained on.
 *
 * Rows that say so are held out, and with them all other rows of their prompts.
 *
 * Prompts are drawn in an order of their own that seed and text alone decide; each objective, the smallest first, has
 * prompts held out until its share is reached (at least one row of it when `heldOut` is above 0). Both sides keep the
 * rows' order.
 *
 * @throws MahaloError E_DATA_SPLIT if the share is not in [0, 1) or an objective would have nothing left to train on
 */
export const splitRows = <Row extends SplitRow>(
  rows: readonly Row[],
  { seed, heldOut, maxHeldOut = Number.POSITIVE_INFINITY }: SplitOptions,
): { train: Row[]; heldOut: Row[] } => {
  if (!(heldOut >= 0 && heldOut < 1)) {
    throw new MahaloError("E_DATA_SPLIT", `data.heldOut: ${heldOut} is not a share in [0, 1)`);
  }
  const keyed = rows.map((row) => ({ row, key: promptKey(row.prompt) }));
  const held = new Set(keyed.flatMap(({ row, key }) => (row.heldOut === true ? [key] : [])));
  const byObjective = [...groupBy(keyed, ({ row }) => row.objective)].sort(
    ([a, some], [b, others]) => some.length - others.length || (a < b ? -1 : 1),
  );
  for (const [, members] of heldOut === 0 || maxHeldOut < 1 ? [] : byObjective) {
    if (members.some(({ row }) => row.heldOut === true)) continue;
    const quota = Math.min(Math.max(Math.round(heldOut * members.length), 1), maxHeldOut);
    const sizes = new Map([...groupBy(members, ({ key }) => key)].map(([key, same]) => [key, same.length]));
    let count = 0;
    for (const [key, size] of sizes) if (held.has(key)) count += size;
    for (const key of drawOrder([...sizes.keys()], seed)) {
      if (count >= quota) break;
      if (held.has(key)) continue;
      held.add(key);
      count += lookUp(sizes, key, "prompt");
    }
  }
  const train = keyed.flatMap(({ row, key }) => (held.has(key) ? [] : [row]));
  for (const [objective, members] of byObjective) {
    if (members.some(({ key }) => !held.has(key))) continue;
    throw new MahaloError(
      "E_DATA_SPLIT",
      `objective ${objective}: no prompt is left to train on after holding out`,
      {
        hint: "lower data.heldOut or give the objective rows of more prompts",
      },
    );
  }
  const room = new Map<string, number>();
  const out = keyed.flatMap(({ row, key }) => {
    if (!held.has(key)) return [];
    const used = room.get(row.objective) ?? 0;
    room.set(row.objective, used + 1);
    return used < maxHeldOut ? [row] : [];
  });
  return { train, heldOut: out };
};

/**
 * At most `limit` rows of each objective, drawn by the seed; the rows drawn keep their order.
 *
 * A smaller limit draws a subset of what a larger one draws.
 */
export const limitRows = <Row extends { objective: string }>(
  rows: readonly Row[],
  limit: number | undefined,
  seed: number,
): Row[] => {
  if (limit === undefined) return [...rows];
  const drawn = [...groupBy(rows.entries(), ([, row]) => row.objective)].flatMap(([objective, members]) =>
    rng(seed, "data", "limit", objective).shuffle(members).slice(0, limit),
  );
  return drawn.sort(([a], [b]) => a - b).map(([, row]) => row);
};

/** Prompts in the order they are drawn; one prompt's place among others does not depend on which others there are. */
const drawOrder = (keys: readonly string[], seed: number): string[] =>
  keys
    .map((key) => ({ key, draw: rng(seed, "data", "held-out", key).next() }))
    .sort((a, b) => a.draw - b.draw || (a.key < b.key ? -1 : 1))
    .map(({ key }) => key);

const groupBy = <T>(items: Iterable<T>, keyOf: (item: T) => string): Map<string, T[]> => {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
};
