/** Reads GGUF's K-quants: blocks of 256 values in groups that have small scales of their own. */
import { type BlockReader, u16 } from "./block-reader.ts";

/**
 * x = d s_j q - dmin m_j for 16 groups j of 16 values; a group's byte holds s low and m high, and four values of two bits
 * stand in a byte, 32 bytes apart.
 */
export const q2_k =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start + 80)] as number;
    const dmin = half[u16(bytes, start + 82)] as number;
    for (let j = 0; j < 16; j += 1) {
      const both = bytes[start + j] as number;
      const ds = d * (both & 15);
      const dm = dmin * (both >> 4);
      const from = start + 16 + (j >> 3) * 32 + (j & 1) * 16;
      const shift = ((j >> 1) & 3) * 2;
      for (let i = 0; i < 16; i += 1) {
        out[to + j * 16 + i] = ds * (((bytes[from + i] as number) >> shift) & 3) - dm;
      }
    }
  };

/**
 * x = d (s_j - 32) (q - 4) for 16 groups j of 16 values; the low two bits stand as in Q2_K, the third bit of value k in
 * bit k / 32 of byte k % 32 in front. Of a scale the low four bits stand two to a byte, the high two four to a byte.
 */
export const q3_k =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start + 108)] as number;
    const packed = start + 96;
    for (let j = 0; j < 16; j += 1) {
      const low = ((bytes[packed + (j & 7)] as number) >> ((j >> 3) * 4)) & 15;
      const high = ((bytes[packed + 8 + (j & 3)] as number) >> ((j >> 2) * 2)) & 3;
      const ds = d * ((low | (high << 4)) - 32);
      const third = start + (j & 1) * 16;
      const from = start + 32 + (j >> 3) * 32 + (j & 1) * 16;
      const shift = ((j >> 1) & 3) * 2;
      for (let i = 0; i < 16; i += 1) {
        const two = ((bytes[from + i] as number) >> shift) & 3;
        const bit = ((bytes[third + i] as number) >> (j >> 1)) & 1;
        out[to + j * 16 + i] = ds * ((two | (bit << 2)) - 4);
      }
    }
  };

/**
 * Scale s_j of Q4_K and Q5_K. Scales and minima have six bits each, and all share 12 bytes.
 * Groups 0 to 3 stand in the low six bits of bytes 0 to 3 (s) and 4 to 7 (m); of groups 4 to 7 the low four bits in bytes
 * 8 to 11, the high two in the top bits of those first eight.
 */
const scaleOf = (bytes: Uint8Array, packed: number, j: number): number => {
  const first = bytes[packed + (j & 3)] as number;
  if (j < 4) return first & 63;
  return ((bytes[packed + 8 + (j & 3)] as number) & 15) | ((first >> 6) << 4);
};

/** Minimum m_j, beside {@link scaleOf}. */
const minimumOf = (bytes: Uint8Array, packed: number, j: number): number => {
  const first = bytes[packed + 4 + (j & 3)] as number;
  if (j < 4) return first & 63;
  return ((bytes[packed + 8 + (j & 3)] as number) >> 4) | ((first >> 6) << 4);
};

/** x = d s_j q - dmin m_j for 8 groups j of 32 values, whose four bits stand two groups to 32 bytes. */
export const q4_k =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start)] as number;
    const dmin = half[u16(bytes, start + 2)] as number;
    for (let j = 0; j < 8; j += 1) {
      const ds = d * scaleOf(bytes, start + 4, j);
      const dm = dmin * minimumOf(bytes, start + 4, j);
      // Two groups share 32 bytes: the even one has the low halves, the odd one the high ones.
      const from = start + 16 + (j >> 1) * 32;
      const shift = (j & 1) * 4;
      for (let i = 0; i < 32; i += 1) {
        out[to + j * 32 + i] = ds * (((bytes[from + i] as number) >> shift) & 15) - dm;
      }
    }
  };

/** As Q4_K, with a fifth bit: that of value k in bit k / 32 of byte k % 32. */
export const q5_k =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start)] as number;
    const dmin = half[u16(bytes, start + 2)] as number;
    const fifth = start + 16;
    for (let j = 0; j < 8; j += 1) {
      const ds = d * scaleOf(bytes, start + 4, j);
      const dm = dmin * minimumOf(bytes, start + 4, j);
      const from = start + 48 + (j >> 1) * 32;
      const shift = (j & 1) * 4;
      for (let i = 0; i < 32; i += 1) {
        const four = ((bytes[from + i] as number) >> shift) & 15;
        const bit = ((bytes[fifth + i] as number) >> j) & 1;
        out[to + j * 32 + i] = ds * (four | (bit << 4)) - dm;
      }
    }
  };

/** x = d s_j (q - 32) for 16 groups j of 16 values with signed scales; low four bits, then high two, then scales. */
export const q6_k =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start + 208)] as number;
    for (let part = 0; part < 2; part += 1) {
      const low = start + part * 64;
      const high = start + 128 + part * 32;
      const scales = start + 192 + part * 8;
      for (let quarter = 0; quarter < 4; quarter += 1) {
        for (let i = 0; i < 32; i += 1) {
          const four = ((bytes[low + (quarter & 1) * 32 + i] as number) >> ((quarter >> 1) * 4)) & 15;
          const two = ((bytes[high + i] as number) >> (quarter * 2)) & 3;
          const scale = ((bytes[scales + quarter * 2 + (i >> 4)] as number) << 24) >> 24;
          out[to + part * 128 + quarter * 32 + i] = d * scale * ((four | (two << 4)) - 32);
        }
      }
    }
  };
