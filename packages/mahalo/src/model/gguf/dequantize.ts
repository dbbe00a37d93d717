/** Turns GGUF's stored blocks back into 32-bit floats, bit for bit as ggml's reference does. */
import { blockLayouts, type GgufType } from "./types.ts";

/** Every 16-bit float as a 32-bit one, by its bits; made on first use (256 KB). */
let halves: Float32Array | undefined;

/** Value of a half-precision float: sign, 5 bits of exponent, 10 of fraction. Source: IEEE 754 binary16. */
const halfValue = (bits: number): number => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
};

const halfTable = (): Float32Array => {
  halves ??= Float32Array.from({ length: 65_536 }, (_, bits) => halfValue(bits));
  return halves;
};

/** Writes the values of one block, whose bytes begin at `at`, to `out` from `to` on. */
type BlockReader = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

const u16 = (bytes: Uint8Array, at: number): number =>
  (bytes[at] as number) | ((bytes[at + 1] as number) << 8);

const u32 = (bytes: Uint8Array, at: number): number => u16(bytes, at) | (u16(bytes, at + 2) << 16);

/** x = d (q - 8); 16 bytes of two 4-bit values, low halves first. */
const q4_0 =
  (half: Float32Array): BlockReader =>
  (bytes, at, out, to) => {
    const d = half[u16(bytes, at)] as number;
    for (let i = 0; i < 16; i += 1) {
      const pair = bytes[at + 2 + i] as number;
      out[to + i] = d * ((pair & 15) - 8);
      out[to + 16 + i] = d * ((pair >> 4) - 8);
    }
  };

/** x = d q + m. */
const q4_1 =
  (half: Float32Array): BlockReader =>
  (bytes, at, out, to) => {
    const d = half[u16(bytes, at)] as number;
    const m = half[u16(bytes, at + 2)] as number;
    for (let i = 0; i < 16; i += 1) {
      const pair = bytes[at + 4 + i] as number;
      out[to + i] = d * (pair & 15) + m;
      out[to + 16 + i] = d * (pair >> 4) + m;
    }
  };

/** x = d (q - 16); the fifth bits of all 32 values stand together in front. */
const q5_0 =
  (half: Float32Array): BlockReader =>
  (bytes, at, out, to) => {
    const d = half[u16(bytes, at)] as number;
    const high = u32(bytes, at + 2);
    for (let i = 0; i < 16; i += 1) {
      const pair = bytes[at + 6 + i] as number;
      out[to + i] = d * (((pair & 15) | (((high >>> i) & 1) << 4)) - 16);
      out[to + 16 + i] = d * (((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
    }
  };

/** x = d q + m, with five bits as in Q5_0. */
const q5_1 =
  (half: Float32Array): BlockReader =>
  (bytes, at, out, to) => {
    const d = half[u16(bytes, at)] as number;
    const m = half[u16(bytes, at + 2)] as number;
    const high = u32(bytes, at + 4);
    for (let i = 0; i < 16; i += 1) {
      const pair = bytes[at + 8 + i] as number;
      out[to + i] = d * ((pair & 15) | (((high >>> i) & 1) << 4)) + m;
      out[to + 16 + i] = d * ((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) + m;
    }
  };

/** x = d q with signed bytes. */
const q8_0 =
  (half: Float32Array): BlockReader =>
  (bytes, at, out, to) => {
    const d = half[u16(bytes, at)] as number;
    for (let i = 0; i < 32; i += 1) out[to + i] = d * (((bytes[at + 2 + i] as number) << 24) >> 24);
  };

/**
 * x = d s_j q - dmin m_j for 8 groups j of 32 values; s and m have six bits and share 12 bytes: groups 0 to 3 in the
 * low six bits of bytes 0 to 3 (s) and 4 to 7 (m); of groups 4 to 7 the low four bits in bytes 8 to 11, the high two
 * in the top bits of those first eight.
 */
const q4_k =
  (half: Float32Array): BlockReader =>
  (bytes, at, out, to) => {
    const d = half[u16(bytes, at)] as number;
    const dmin = half[u16(bytes, at + 2)] as number;
    const packed = at + 4;
    for (let j = 0; j < 8; j += 1) {
      const low = bytes[packed + (j & 3)] as number;
      const middle = bytes[packed + 4 + (j & 3)] as number;
      const last = bytes[packed + 8 + (j & 3)] as number;
      const scale = j < 4 ? low & 63 : (last & 15) | ((low >> 6) << 4);
      const minimum = j < 4 ? middle & 63 : (last >> 4) | ((middle >> 6) << 4);
      // Two groups share 32 bytes: the even one has the low halves, the odd one the high ones.
      const from = at + 16 + (j >> 1) * 32;
      const shift = (j & 1) * 4;
      const ds = d * scale;
      const dm = dmin * minimum;
      for (let i = 0; i < 32; i += 1) {
        out[to + j * 32 + i] = ds * (((bytes[from + i] as number) >> shift) & 15) - dm;
      }
    }
  };

/** x = d s_j (q - 32) for 16 groups j of 16 values with signed scales; low four bits, then high two, then scales. */
const q6_k =
  (half: Float32Array): BlockReader =>
  (bytes, at, out, to) => {
    const d = half[u16(bytes, at + 208)] as number;
    for (let part = 0; part < 2; part += 1) {
      const low = at + part * 64;
      const high = at + 128 + part * 32;
      const scales = at + 192 + part * 8;
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

const blockReaders: Record<Exclude<GgufType, "F32" | "F16" | "BF16">, (half: Float32Array) => BlockReader> = {
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q4_K: q4_k,
  Q6_K: q6_k,
};

/**
 * The values of stored data. Products and sums are rounded once, to the nearest 32-bit float.
 *
 * @param bytes whole blocks of `type`; anything else is an error of the caller, as headers are checked before.
 */
export const dequantize = (type: GgufType, bytes: Uint8Array): Float32Array => {
  const layout = blockLayouts[type];
  const blocks = bytes.length / layout.bytes;
  if (!Number.isInteger(blocks)) throw new RangeError(`${bytes.length} bytes are no whole blocks of ${type}`);
  const out = new Float32Array(blocks * layout.elements);
  if (type === "F32") {
    new Uint8Array(out.buffer).set(bytes);
    return out;
  }
  if (type === "BF16") {
    const bits = new Uint32Array(out.buffer);
    for (let i = 0; i < blocks; i += 1) bits[i] = u16(bytes, 2 * i) << 16;
    return out;
  }
  const half = halfTable();
  if (type === "F16") {
    for (let i = 0; i < blocks; i += 1) out[i] = half[u16(bytes, 2 * i)] as number;
    return out;
  }
  const readBlock = blockReaders[type](half);
  for (let block = 0; block < blocks; block += 1) {
    readBlock(bytes, block * layout.bytes, out, block * layout.elements);
  }
  return out;
};
