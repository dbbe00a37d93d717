/** What readers of GGUF blocks share: their type, and numbers of several bytes. */

/** Writes the values of one block, whose bytes begin at `at`, to `out` from `to` on. */
export type BlockReader = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

/** A 16-bit number, low byte first. */
export const u16 = (bytes: Uint8Array, at: number): number =>
  (bytes[at] as number) | ((bytes[at + 1] as number) << 8);

/** A 32-bit number, low byte first; its top bit is the sign. */
export const u32 = (bytes: Uint8Array, at: number): number => u16(bytes, at) | (u16(bytes, at + 2) << 16);
