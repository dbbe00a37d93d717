/** Numbers as people read them: durations, bytes, counts, shares. */

/**
 * Seconds as text: `0.42 s`, `12 s`, `3 min 20 s`, `2 h 05 min`, `1 d 3 h`.
 *
 * Not a number, infinite and negative durations give `?`, since a time left may not be known yet.
 */
export const formatDuration = (seconds: number): string => {
  if (!Number.isFinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) return `${seconds.toFixed(seconds < 0.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
};

/** Bytes as text in powers of 1,000 (`134 kB`, `5.0 GB`), as disks and networks count them. */
export const formatBytes = (bytes: number): string => {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${bytes < 0 ? "-" : ""}${value.toFixed(digits)} ${units[unit]}`;
};

/** A count with thousands marks: `1,234,567`; a number that is not whole keeps at most two decimals. */
export const formatCount = (count: number): string =>
  count.toLocaleString("en-US", { maximumFractionDigits: 2 });

/** A number of things: `1 row`, `1,200 rows`; for words whose plural is the singular and an s. */
export const formatNumberOf = (count: number, singular: string): string =>
  `${formatCount(count)} ${count === 1 ? singular : `${singular}s`}`;

/** A share in [0, 1] as per cent with one decimal: `62.5%`. */
export const formatShare = (share: number): string => `${(share * 100).toFixed(1)}%`;
