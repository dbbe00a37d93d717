/** What readers of GGUF blocks share: their type, and numbers of several bytes. */

/** Writes the values of one block, whose bytes begin at `start`, to `out` from `to` on. */
export type BlockReader = (bytes: Uint8Array, start: number, out: Float32Array, to: number) => void;

/** A 16-bit number, low byte first. */
export const u16 = (bytes: Uint8Array, offset: number): number =>
  (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);

/** A 32-bit number, low byte first; its top bit is the sign. */
export const u32 = (bytes: Uint8Array, offset: number): number =>
  u16(bytes, offset) | (u16(bytes, offset + 2) << 16);
