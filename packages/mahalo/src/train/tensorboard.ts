/** TensorBoard event files: scalars in hand-encoded protobuf, framed as TFRecords with masked CRC-32C. */
import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { fileError } from "../core/files.ts";
import { element } from "../core/need.ts";

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) {
    value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  }
  return value >>> 0;
});

/** CRC-32C (Castagnoli) of bytes, as an unsigned 32-bit number. Source: RFC 3720, appendix B.4. */
export const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc = (element(table, (crc ^ byte) & 0xff) ^ (crc >>> 8)) >>> 0;
  }
  return (crc ^ 0xffffffff) >>> 0;
};

/** The masked form that TFRecords hold: rotated right by 15 bits, plus 0xa282ead8. */
export const maskedCrc32c = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

/** One TFRecord: length (8 bytes, little-endian), masked CRC of the length, data, masked CRC of the data. */
export const frameRecord = (data: Uint8Array): Buffer => {
  const record = Buffer.alloc(12 + data.length + 4);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return record;
};

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Buffer.from([...bytes, rest]);
};

const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const tag = (field: number, type: number): Buffer => varint(field * 8 + type);

const doubleField = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([tag(field, wire.fixed64), bytes]);
};

const floatField = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([tag(field, wire.fixed32), bytes]);
};

const bytesField = (field: number, value: Uint8Array): Buffer =>
  Buffer.concat([tag(field, wire.bytes), varint(value.length), value]);

// Field numbers of tensorflow.Event and tensorflow.Summary.Value.
const eventFields = { wallTime: 1, step: 2, fileVersion: 3, summary: 5 } as const;
const valueFields = { tag: 1, simpleValue: 2 } as const;

/** The first event of every file. */
export const encodeVersion = (wallTime: number): Buffer =>
  Buffer.concat([
    doubleField(eventFields.wallTime, wallTime),
    bytesField(eventFields.fileVersion, Buffer.from("brain.Event:2")),
  ]);

/** An event with one summary value a scalar; values are stored as float32. */
export const encodeScalars = (wallTime: number, step: number, scalars: Record<string, number>): Buffer => {
  const values = Object.entries(scalars).map(([name, value]) =>
    bytesField(
      1,
      Buffer.concat([
        bytesField(valueFields.tag, Buffer.from(name)),
        floatField(valueFields.simpleValue, value),
      ]),
    ),
  );
  return Buffer.concat([
    doubleField(eventFields.wallTime, wallTime),
    tag(eventFields.step, wire.varint),
    varint(step),
    bytesField(eventFields.summary, Buffer.concat(values)),
  ]);
};

/** Events as {@link encodeScalars} makes them hold the step right behind the 9 bytes of the wall time. */
const stepOf = (data: Uint8Array): number => {
  if (data[9] !== eventFields.step * 8 + wire.varint) {
    return 0;
  }
  let [step, scale] = [0, 1];
  for (const byte of data.subarray(10)) {
    step += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      break;
    }
    scale *= 0x80;
  }
  return step;
};

/** Bytes of an event file up to the first event after `step`, or the first that is torn or damaged. */
const bytesUpTo = (bytes: Buffer, step: number): number => {
  let offset = 0;
  while (offset + 16 <= bytes.length) {
    const length = Number(bytes.readBigUInt64LE(offset));
    const end = offset + 12 + length + 4;
    if (
      bytes.readUInt32LE(offset + 8) !== maskedCrc32c(bytes.subarray(offset, offset + 8)) ||
      end > bytes.length
    ) {
      break;
    }
    const data = bytes.subarray(offset + 12, offset + 12 + length);
    if (bytes.readUInt32LE(end - 4) !== maskedCrc32c(data) || stepOf(data) > step) {
      break;
    }
    offset = end;
  }
  return offset;
};

/** Options of {@link EventsFile}. */
export type EventsFileOptions = {
  /** Keep the events up to this step and go on behind them. Default: start a new file. */
  resumeStep?: number;
  /** Seconds since 1970. Default: the system's clock. */
  now?: () => number;
};

/**
 * An event file that TensorBoard reads. Its name must hold `tfevents`.
 *
 * @example
 * const events = new EventsFile("runs/x/tensorboard/events.out.tfevents.mahalo");
 * events.scalars(1, { loss: 0.69 });
 */
export class EventsFile {
  readonly #path: string;
  readonly #now: () => number;
  #fd: number | undefined;

  /** @throws MahaloError E_FILE_WRITE */
  constructor(path: string, { resumeStep, now = () => Date.now() / 1000 }: EventsFileOptions = {}) {
    this.#path = path;
    this.#now = now;
    try {
      const old = resumeStep !== undefined && existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
      const kept = bytesUpTo(old, resumeStep ?? 0);
      this.#fd = openSync(path, "a");
      ftruncateSync(this.#fd, kept);
      if (kept === 0) {
        this.#append(frameRecord(encodeVersion(now())));
      }
    } catch (error) {
      throw fileError("E_FILE_WRITE", "write", path, error);
    }
  }

  #append(bytes: Uint8Array): void {
    if (this.#fd === undefined) {
      throw fileError("E_FILE_WRITE", "write", this.#path, new Error("already closed"));
    }
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#fd, bytes, done);
    }
  }

  /** Appends the scalars of a step; nothing for none. @throws MahaloError E_FILE_WRITE */
  scalars(step: number, scalars: Record<string, number>): void {
    if (Object.keys(scalars).length > 0) {
      this.#append(frameRecord(encodeScalars(this.#now(), step, scalars)));
    }
  }

  /** Waits until all is on the disk. */
  sync(): void {
    if (this.#fd !== undefined) {
      fsyncSync(this.#fd);
    }
  }

  /** Syncs and closes; a second call does nothing. */
  close(): void {
    if (this.#fd !== undefined) {
      fsyncSync(this.#fd);
      closeSync(this.#fd);
      this.#fd = undefined;
    }
  }
}
