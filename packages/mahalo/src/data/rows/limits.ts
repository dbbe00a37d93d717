/** How much a file of rows may take: bounds against files that expand without end, each raised by an environment variable. */
import { numberSetting } from "../../core/settings.ts";

/** Bounds on a file of rows. */
export type RowLimits = {
  /** Most bytes of one row, the white space before it included. MAHALO_MAX_ROW_MB; default 64. */
  maxRowBytes: number;
  /** How many times its size a packed file may have unpacked. MAHALO_MAX_EXPANSION; default 100. */
  maxExpansion: number;
  /** Most rows of one file. MAHALO_MAX_ROWS; default 50 million. */
  maxRows: number;
};

/** What any packed file may expand to, however small it is. */
const alwaysAllowed = 64e6;

/** The bounds that the environment asks for. @throws MahaloError E_SETTING */
export const rowLimits = (environment: NodeJS.ProcessEnv = process.env): RowLimits => ({
  maxRowBytes: numberSetting(environment, "MAHALO_MAX_ROW_MB", 64) * 1e6,
  maxExpansion: numberSetting(environment, "MAHALO_MAX_EXPANSION", 100),
  maxRows: numberSetting(environment, "MAHALO_MAX_ROWS", 50e6),
});

/** The most bytes that a packed file of `size` bytes may expand to. */
export const expandedLimit = (size: number, { maxExpansion }: RowLimits): number =>
  Math.max(alwaysAllowed, size * maxExpansion);
