/** Progress on standard error: a bar with the time left on a terminal, plain lines now and then elsewhere. */
import { formatCount, formatDuration, formatNumberOf } from "./format.ts";
import { visible } from "./visible.ts";

/** Where progress goes; `process.stderr` fits. */
export type ProgressStream = {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
};

/** Options of {@link progress}. */
export type ProgressOptions = {
  /** What is being done: `align`. */
  label: string;
  /** How many units there are; 0 where it is not known. */
  total: number;
  /** Name of a unit, in the plural: `pairs`; of one, its "s" is left out. */
  unit: string;
  /** Units done before this process began (a resumed run); they do not count for the speed. Default 0. */
  from?: number;
  /** Output is JSON for a program: show nothing. */
  json?: boolean;
  /** Show nothing. */
  quiet?: boolean;
  /** Default `process.stderr`. */
  stream?: ProgressStream;
  /** Clock in milliseconds, for tests. Default `performance.now`. */
  now?: () => number;
};

/** A running display. */
export type Progress = {
  /** Says that `done` units are finished now; `note` is shown behind (`loss 0.61`). */
  update(done: number, note?: string): void;
  /** Says that `units` more are finished now. */
  add(units: number): void;
  /** Ends the display with a line that stays: what was done in all, what of it by an earlier process, in what time. */
  done(note?: string): void;
};

const barEvery = 100;
const lineEvery = 10_000;
let silent = false;
/** The terminal on whose last line a bar stands that has not ended. */
let drawn: ProgressStream | undefined;

/** Switches every display of this process off (or on again), as `--quiet` and `--json` ask. */
export const silenceProgress = (quiet: boolean): void => {
  silent = quiet;
};

/** Takes a bar off its line, so that other text begins a line of its own; a bar that goes on draws itself again. */
export function clearProgress(): void {
  drawn?.write("\r\u001b[2K");
  drawn = undefined;
}

/** Shows a line that stays; nothing after {@link silenceProgress}. */
export function note(line: string): void {
  if (silent) return;
  clearProgress();
  process.stderr.write(`${line}\n`);
}

const fit = (text: string, columns: number): string =>
  text.length > columns ? `${text.slice(0, columns - 1)}…` : text;

/**
 * Starts a display. Nothing is shown under `json`, `quiet` or after {@link silenceProgress}.
 *
 * @example
 * const bar = progress({ label: "align", total: steps, unit: "steps" });
 * bar.update(step, `loss ${loss.toFixed(3)}`);
 * bar.done();
 */
export const progress = (options: ProgressOptions): Progress => {
  const {
    total,
    unit,
    from = 0,
    json = false,
    quiet = false,
    stream = process.stderr,
    now = () => performance.now(),
  } = options;
  const label = visible(options.label);
  const began = now();
  const terminal = stream.isTTY === true;
  let shownAt = terminal ? Number.NEGATIVE_INFINITY : began;
  let count = from;
  let ended = false;
  const off = (): boolean => json || quiet || silent;

  const counted = (): string => formatNumberOf(count, unit.replace(/s$/, ""));
  const line = (note: string | undefined): string => {
    const seconds = (now() - began) / 1000;
    const speed = seconds > 0 ? (count - from) / seconds : 0;
    const parts = [`${formatCount(count)}${total > 0 ? `/${formatCount(total)}` : ""} ${unit}`];
    if (speed > 0)
      parts.push(
        speed >= 1 || unit.length === 0
          ? `${formatCount(Number(speed.toPrecision(3)))}/s`
          : `${formatDuration(1 / speed)} each`,
      );
    if (total > 0 && speed > 0 && count < total)
      parts.push(`${formatDuration((total - count) / speed)} left`);
    if (note !== undefined && note !== "") parts.push(note);
    return parts.join(" · ");
  };

  const draw = (told: string | undefined): void => {
    const note = told === undefined ? undefined : visible(told);
    if (!terminal) {
      stream.write(`${label}: ${line(note)}\n`);
      return;
    }
    const width = 20;
    const filled = total > 0 ? Math.min(width, Math.round((count / total) * width)) : 0;
    const bar = total > 0 ? ` ${"█".repeat(filled)}${"░".repeat(width - filled)}` : "";
    stream.write(`\r\u001b[2K${fit(`${label}${bar} ${line(note)}`, stream.columns ?? 80)}`);
    drawn = stream;
  };

  const update = (done: number, note?: string): void => {
    count = done;
    if (ended || off()) return;
    const time = now();
    if (time - shownAt < (terminal ? barEvery : lineEvery)) return;
    shownAt = time;
    draw(note);
  };

  return {
    update,
    add: (units) => update(count + units),
    done(note) {
      if (ended) return;
      ended = true;
      if (off()) return;
      const before = from > 0 ? `, ${formatCount(from)} of them before,` : "";
      const text = `${label}: ${counted()}${before} in ${formatDuration((now() - began) / 1000)}${note ? ` · ${visible(note)}` : ""}\n`;
      stream.write(terminal ? `\r\u001b[2K${text}` : text);
      drawn = undefined;
    },
  };
};

/** A display of work that is often short: it appears once the work has lasted a while, and else never. */
export type LateProgress = {
  update(done: number): void;
  /** Ends the display, where there is one, with all that was done. */
  done(total: number): void;
};

/**
 * Starts a display that shows nothing in the first `after` milliseconds.
 *
 * @param after default 3000
 */
export const lateProgress = (options: ProgressOptions, after = 3000): LateProgress => {
  const bar = progress(options);
  const began = performance.now();
  let shown = false;
  return {
    update(done) {
      shown ||= performance.now() - began >= after;
      if (shown) bar.update(done);
    },
    done(total) {
      if (!shown) return;
      bar.update(total);
      bar.done();
    },
  };
};
