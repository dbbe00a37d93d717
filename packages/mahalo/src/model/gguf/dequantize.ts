/** Turns GGUF's stored blocks back into 32-bit floats, bit for bit as ggml's reference does. */
import { type BlockReader, u16, u32 } from "./block-reader.ts";
import { q2_k, q3_k, q4_k, q5_k, q6_k } from "./k-quants.ts";
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

/** x = d (q - 8); 16 bytes of two 4-bit values, low halves first. */
const q4_0 =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start)] as number;
    for (let i = 0; i < 16; i += 1) {
      const pair = bytes[start + 2 + i] as number;
      out[to + i] = d * ((pair & 15) - 8);
      out[to + 16 + i] = d * ((pair >> 4) - 8);
    }
  };

/** x = d q + m. */
const q4_1 =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start)] as number;
    const m = half[u16(bytes, start + 2)] as number;
    for (let i = 0; i < 16; i += 1) {
      const pair = bytes[start + 4 + i] as number;
      out[to + i] = d * (pair & 15) + m;
      out[to + 16 + i] = d * (pair >> 4) + m;
    }
  };

/** x = d (q - 16); the fifth bits of all 32 values stand together in front. */
const q5_0 =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start)] as number;
    const high = u32(bytes, start + 2);
    for (let i = 0; i < 16; i += 1) {
      const pair = bytes[start + 6 + i] as number;
      out[to + i] = d * (((pair & 15) | (((high >>> i) & 1) << 4)) - 16);
      out[to + 16 + i] = d * (((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
    }
  };

/** x = d q + m, with five bits as in Q5_0. */
const q5_1 =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start)] as number;
    const m = half[u16(bytes, start + 2)] as number;
    const high = u32(bytes, start + 4);
    for (let i = 0; i < 16; i += 1) {
      const pair = bytes[start + 8 + i] as number;
      out[to + i] = d * ((pair & 15) | (((high >>> i) & 1) << 4)) + m;
      out[to + 16 + i] = d * ((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) + m;
    }
  };

/** x = d q with signed bytes. */
const q8_0 =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start)] as number;
    for (let i = 0; i < 32; i += 1) out[to + i] = d * (((bytes[start + 2 + i] as number) << 24) >> 24);
  };

/** The values of the 16 codes of IQ4_NL and IQ4_XS. Source: ggml's table `kvalues_iq4nl`. */
const iq4Values = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** x = d v(q), with the values v of the table. */
const iq4_nl =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start)] as number;
    for (let i = 0; i < 16; i += 1) {
      const pair = bytes[start + 2 + i] as number;
      out[to + i] = d * (iq4Values[pair & 15] as number);
      out[to + 16 + i] = d * (iq4Values[pair >> 4] as number);
    }
  };

/**
 * x = d (s_j - 32) v(q) for 8 groups j of 32 values; of a scale's six bits the low four stand two to a byte, the high
 * two together in 16 bits.
 */
const iq4_xs =
  (half: Float32Array): BlockReader =>
  (bytes, start, out, to) => {
    const d = half[u16(bytes, start)] as number;
    const high = u16(bytes, start + 2);
    for (let j = 0; j < 8; j += 1) {
      const low = ((bytes[start + 4 + (j >> 1)] as number) >> ((j & 1) * 4)) & 15;
      const ds = d * ((low | (((high >> (2 * j)) & 3) << 4)) - 32);
      for (let i = 0; i < 16; i += 1) {
        const pair = bytes[start + 8 + j * 16 + i] as number;
        out[to + j * 32 + i] = ds * (iq4Values[pair & 15] as number);
        out[to + j * 32 + 16 + i] = ds * (iq4Values[pair >> 4] as number);
      }
    }
  };

const blockReaders: Record<Exclude<GgufType, "F32" | "F16" | "BF16">, (half: Float32Array) => BlockReader> = {
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q2_K: q2_k,
  Q3_K: q3_k,
  Q4_K: q4_k,
  Q5_K: q5_k,
  Q6_K: q6_k,
  IQ4_NL: iq4_nl,
  IQ4_XS: iq4_xs,
};

/**
 * The values of stored data. Products and sums are rounded once, to the nearest 32-bit float.
 *
 * @param bytes whole blocks of `type`; anything else is an error of the caller, as headers are checked before.
 */
export const dequantize = (type: GgufType, bytes: Uint8Array): Float32Array => {
  const layout = blockLayouts[type];
  const blocks = bytes.length / layout.bytes;
  if (!Number.isInteger(blocks))
    throw new RangeError(`${bytes.length} bytes are not whole blocks of ${type}`);
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
