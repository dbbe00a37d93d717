/** Linear scales and round tick values for charts. */

/** Maps a value of the data to a place on the page. */
export type Scale = (value: number) => number;

/** The linear map that takes `domain` to `range`; an empty domain maps to the middle. */
export const linear = (
  [low, high]: readonly [number, number],
  [from, to]: readonly [number, number],
): Scale =>
  high === low ? () => (from + to) / 2 : (value) => from + ((value - low) / (high - low)) * (to - from);

/**
 * Round tick values (1, 2 or 5 times a power of ten apart) that lie inside [low, high].
 *
 * @example ticks(0, 1, 5) // [0, 0.2, 0.4, 0.6, 0.8, 1]
 */
export const ticks = (low: number, high: number, about = 5): number[] => {
  const span = high - low;
  if (!(span > 0)) {
    return [low];
  }
  const power = 10 ** Math.floor(Math.log10(span / about));
  const unit = [1, 2, 5, 10].find((factor) => span / (factor * power) <= about * 1.2) ?? 10;
  const gap = unit * power;
  const first = Math.ceil(low / gap - 1e-9);
  const last = Math.floor(high / gap + 1e-9);
  // Adding 0 turns a negative zero into zero.
  return Array.from(
    { length: last - first + 1 },
    (_, index) => Number(((first + index) * gap).toPrecision(12)) + 0,
  );
};

/** The smallest range that holds all finite values, widened by a margin (default 5% on either side). */
export const extent = (values: readonly number[], margin = 0.05): [number, number] => {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) {
    return [0, 1];
  }
  const low = finite.reduce((a, b) => Math.min(a, b));
  const high = finite.reduce((a, b) => Math.max(a, b));
  const pad = high > low ? (high - low) * margin : Math.max(Math.abs(high) * margin, 1e-6);
  return [low - pad, high + pad];
};

/** A number in at most four significant digits, without a trailing exponent where it can be had. */
export const formatNumber = (value: number): string => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) {
    return value.toExponential(1).replace("e+", "e");
  }
  return String(Number(value.toPrecision(4)));
};
