/** Reads little-endian values out of a file's head one after another, never past its end. */
import { MahaloError } from "@mahalo/torch";

/** A file, or bytes that stand for one. */
export type ByteSource = {
  /** What errors call it. */
  path: string;
  /** Bytes in all. */
  size: number;
  /** The bytes from `offset` on; both lie within `size`. */
  read(offset: number, length: number): Uint8Array;
};

/** Bytes fetched at once, so that a head of a million short strings costs few reads. */
const window = 1 << 20;

/** An error about a file's content, with the place in the file. */
export const ggufError = (path: string, message: string, hint?: string): MahaloError =>
  new MahaloError("E_GGUF", `${path}: ${message}`, {
    hint: hint ?? "the file is damaged or not what its name says; fetch it again",
  });

/** A reading position in a {@link ByteSource}. */
export class Cursor {
  readonly source: ByteSource;
  /** Offset of the next byte. */
  offset = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  #start = 0;
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(source: ByteSource) {
    this.source = source;
  }

  /** Bytes left in the file. */
  get left(): number {
    return this.source.size - this.offset;
  }

  /** Fails unless `count` bytes are left; `what` names what they would be. @throws MahaloError E_GGUF */
  need(count: number, what: string): void {
    if (count > this.left) {
      throw ggufError(
        this.source.path,
        `offset ${this.offset}: the file ends inside ${what}: ${count} bytes wanted, ${this.left} left`,
      );
    }
  }

  /** Makes `count` bytes available and returns where they begin in the window. */
  #take(count: number, what: string): number {
    this.need(count, what);
    if (this.offset < this.#start || this.offset + count > this.#start + this.#bytes.length) {
      const length = Math.min(this.left, Math.max(count, window));
      this.#bytes = this.source.read(this.offset, length);
      this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
      this.#start = this.offset;
    }
    const start = this.offset - this.#start;
    this.offset += count;
    return start;
  }

  #value<T>(count: number, what: string, get: (view: DataView, offset: number) => T): T {
    const offset = this.#take(count, what);
    return get(this.#view, offset);
  }

  u8 = (what: string): number => this.#value(1, what, (view, offset) => view.getUint8(offset));
  i8 = (what: string): number => this.#value(1, what, (view, offset) => view.getInt8(offset));
  u16 = (what: string): number => this.#value(2, what, (view, offset) => view.getUint16(offset, true));
  i16 = (what: string): number => this.#value(2, what, (view, offset) => view.getInt16(offset, true));
  u32 = (what: string): number => this.#value(4, what, (view, offset) => view.getUint32(offset, true));
  i32 = (what: string): number => this.#value(4, what, (view, offset) => view.getInt32(offset, true));
  f32 = (what: string): number => this.#value(4, what, (view, offset) => view.getFloat32(offset, true));
  f64 = (what: string): number => this.#value(8, what, (view, offset) => view.getFloat64(offset, true));
  u64 = (what: string): bigint => this.#value(8, what, (view, offset) => view.getBigUint64(offset, true));
  i64 = (what: string): bigint => this.#value(8, what, (view, offset) => view.getBigInt64(offset, true));

  /** A 64-bit count or offset that must be a safe whole number. */
  count(what: string): number {
    const value = this.u64(what);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw ggufError(this.source.path, `offset ${this.offset - 8}: ${what} is impossibly large: ${value}`);
    }
    return Number(value);
  }

  /** A string: 64-bit length, then UTF-8. */
  string(what: string): string {
    const length = this.count(`the length of ${what}`);
    const start = this.#take(length, what);
    try {
      return this.#utf8.decode(this.#bytes.subarray(start, start + length));
    } catch (error) {
      const offset = this.offset - length;
      throw new MahaloError("E_GGUF", `${this.source.path}: offset ${offset}: ${what} is not valid UTF-8`, {
        cause: error,
        hint: "convert the model again with a current converter",
      });
    }
  }
}
