/** What each side of the verifier bench reports, and the lines that are made of it. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { type BenchLine, benchLine, type Setting } from "../lines.ts";

/** One side's verdicts on all answers. */
export const verifiedSchema = z.looseObject({
  seconds: z.number().positive(),
  /** Share of one thread's time that the process had. */
  cpu_share: z.number().positive(),
  answers: z.int().positive(),
  /** Verdicts that are those of the data set's authors. */
  as_flagged: z.int().nonnegative(),
  /** `=` for a right answer, `x` for a wrong one, in the file's order. */
  verdicts: z.string().regex(/^[=x]+$/),
});

/** Result of one side. */
export type Verified = z.output<typeof verifiedSchema>;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const rate = (runs: readonly Verified[], of: (run: Verified) => number): number =>
  sum(runs.map(({ answers }) => answers)) / sum(runs.map(of));
const wall = ({ seconds }: Verified): number => seconds;
const processor = ({ seconds, cpu_share }: Verified): number => seconds * cpu_share;
const share = (runs: readonly Verified[]): string =>
  Math.min(...runs.map(({ cpu_share }) => cpu_share)).toFixed(2);

/**
 * Lines of answers a second, by the clock and by the processor time that each side had; `how` says for how many answers
 * the two sides' verdicts agree.
 *
 * @throws MahaloError E_BENCH_ROWS when the two sides did not verify the same number of answers
 */
export const compareVerified = (
  setting: Setting,
  ours: readonly Verified[],
  peer: readonly Verified[],
): BenchLine[] => {
  const [our, theirs] = [ours[0], peer[0]];
  if (our === undefined || theirs === undefined) return [];
  if (our.verdicts.length !== theirs.verdicts.length) {
    throw new MahaloError(
      "E_BENCH_ROWS",
      `${setting.against}: number of answers is ${theirs.verdicts.length}, ours ${our.verdicts.length}`,
      { exitStatus: 1 },
    );
  }
  const agreed = [...our.verdicts].filter((verdict, index) => verdict === theirs.verdicts[index]).length;
  const flagged = `as flagged: ours ${our.as_flagged}, peer ${theirs.as_flagged}`;
  const how = `${setting.how}; verdicts agree for ${agreed} of ${our.verdicts.length}, ${flagged}; cores had: ours ${share(ours)}, peer ${share(peer)}`;
  return [
    benchLine("verifier", { ...setting, how }, [rate(ours, wall), rate(peer, wall)], "answers/s"),
    benchLine(
      "verifier",
      { ...setting, how: "by processor time, which other work on the machine hardly changes" },
      [rate(ours, processor), rate(peer, processor)],
      "answers/processor-second",
    ),
  ];
};
