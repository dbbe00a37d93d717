/** The lines that benches print: two measurements, their ratio, and how they were made. */

/** One line of a bench's output. */
export type BenchLine = {
  bench: string;
  /** What both sides worked on. */
  data: string;
  dtype: string;
  /** What ours is compared with. */
  against: string;
  ours: number;
  peer: number;
  ratio: number;
  unit: string;
  how: string;
};

/** What was compared with what, and how. */
export type Setting = Pick<BenchLine, "data" | "dtype" | "against" | "how">;

/** Two significant digits more than are quoted, so that lines stay readable. */
const round = (value: number): number => Number(value.toPrecision(4));

/** A line of two measurements. */
export const benchLine = (
  bench: string,
  { data, dtype, against, how }: Setting,
  [ours, peer]: readonly [number, number],
  unit: string,
): BenchLine => ({
  bench,
  data,
  dtype,
  against,
  ours: round(ours),
  peer: round(peer),
  ratio: round(ours / peer),
  unit,
  how,
});

/**
 * Each side in the dtype, and each peer in the variant (`name+variant`), that is fastest for it.
 *
 * @param lines of one data set and one unit
 */
export const best = (lines: readonly BenchLine[]): BenchLine[] => {
  const ours = lines.toSorted((a, b) => b.ours - a.ours)[0];
  const names = [...new Set(lines.map(({ against }) => against.replace(/\+.*$/, "")))];
  return names.flatMap((name) => {
    const peer = lines
      .filter(({ against }) => against.startsWith(name))
      .toSorted((a, b) => b.peer - a.peer)[0];
    if (ours === undefined || peer === undefined) return [];
    const how = `ours in ${ours.dtype}, ${peer.against} in ${peer.dtype}`;
    return [
      benchLine(
        ours.bench,
        { data: peer.data, dtype: "best", against: name, how },
        [ours.ours, peer.peer],
        peer.unit,
      ),
    ];
  });
};

/** A note for people, on standard error. */
export const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/** Prints lines as JSON, on standard output. */
export const print = (lines: readonly BenchLine[]): void => {
  for (const line of lines) process.stdout.write(`${JSON.stringify(line)}\n`);
};
