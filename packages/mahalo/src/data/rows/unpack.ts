/** The bytes of a file as a stream, taken out of gzip and zstd, also of one inside the other, up to a bound. */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { checkRegular, MahaloError } from "@mahalo/torch";
import { Decompress } from "fzstd";
import { errorCode, fileError } from "../../core/files.ts";
import { formatBytes, formatCount } from "../../core/format.ts";
import { element } from "../../core/need.ts";
import { binaryKind, kindBytes, type Packing, packingOf } from "./file-kind.ts";
import { expandedLimit, type RowLimits } from "./limits.ts";

type Chunks = AsyncGenerator<Buffer>;

/** Packings that may stand inside one another; more is no honest file. */
const maxLayers = 3;

/** zstd's own bound for who does not ask for more. */
const maxWindow = 2 ** 27;

/** An unpacked stream: its first bytes, and all of it. */
export type Unpacked = { first: Buffer; chunks: Chunks; layers: readonly Packing[] };

/**
 * The bytes of a file, unpacked; streams are closed when the reader stops early.
 *
 * Faults that are met while looking at the first bytes come when the reader gets there.
 *
 * @throws MahaloError E_FILE_READ, E_FILE_KIND, E_DATA_FORMAT for a kind of file that holds no rows; later
 *   E_DATA_TRUNCATED, E_DATA_PACKED, E_DATA_EXPANDS
 */
export async function unpackFile(path: string, name: string, limits: RowLimits): Promise<Unpacked> {
  let size: number;
  try {
    size = checkRegular(path).size;
  } catch (error) {
    throw fileError("E_FILE_READ", "read", name, error);
  }
  const layers: Packing[] = [];
  let { first, chunks } = await lookAhead(fileChunks(path, name));
  for (let packing = packingOf(first); packing !== undefined; packing = packingOf(first)) {
    if (layers.length === maxLayers) {
      throw new MahaloError("E_DATA_FORMAT", `${name}: is packed more than ${maxLayers} times`, {
        hint: "unpack it first",
      });
    }
    layers.push(packing);
    const unpacked = packing === "gzip" ? gunzip(chunks, name) : unzstd(chunks, first, name);
    ({ first, chunks } = await lookAhead(bounded(unpacked, name, size, limits)));
  }
  const kind = binaryKind(first);
  if (kind !== undefined) {
    await chunks.return(undefined);
    const inside = layers.length === 0 ? "" : ` inside ${layers.join(" inside ")}`;
    throw new MahaloError("E_DATA_FORMAT", `${name}: is ${kind.what}${inside}, not rows`, {
      hint: kind.hint,
    });
  }
  return { first, chunks, layers };
}

async function* fileChunks(path: string, name: string): Chunks {
  const file = createReadStream(path, { highWaterMark: 2 ** 18 });
  try {
    for await (const chunk of file) yield Buffer.from(chunk);
  } catch (error) {
    throw fileError("E_FILE_READ", "read", name, error);
  } finally {
    file.destroy();
  }
}

/** The first bytes of a stream, and the whole of it. */
async function lookAhead(source: Chunks): Promise<{ first: Buffer; chunks: Chunks }> {
  const held: Buffer[] = [];
  let length = 0;
  let failure: { error: unknown } | undefined;
  try {
    while (length < kindBytes) {
      const next = await source.next();
      if (next.done) break;
      held.push(next.value);
      length += next.value.length;
    }
  } catch (error) {
    failure = { error };
  }
  const chunks = async function* (): Chunks {
    try {
      yield* held.splice(0);
      // An error met while looking ahead belongs to the place where the reader gets to it.
      if (failure !== undefined) throw failure.error;
      yield* source;
    } finally {
      await source.return(undefined);
    }
  };
  return { first: Buffer.concat(held).subarray(0, kindBytes), chunks: chunks() };
}

async function* gunzip(source: Chunks, name: string): Chunks {
  const packed = Readable.from(source);
  const unzip = createGunzip({ chunkSize: 2 ** 18 });
  packed.on("error", (error) => unzip.destroy(error)).pipe(unzip);
  try {
    for await (const chunk of unzip) yield Buffer.from(chunk);
  } catch (error) {
    const code = errorCode(error);
    if (!code?.startsWith("Z_")) throw error;
    throw code === "Z_BUF_ERROR" ? tooShort("gzip", name, error) : damaged("gzip", name, error);
  } finally {
    unzip.destroy();
    packed.destroy();
  }
}

/** Bytes that are handed on at a time: few, since each may unpack to very many. */
const pieceBytes = 2 ** 12;

async function* unzstd(source: Chunks, first: Buffer, name: string): Chunks {
  const window = windowOf(first);
  if (window > maxWindow) {
    await source.return(undefined);
    throw new MahaloError(
      "E_DATA_EXPANDS",
      `${name}: its zstd window of ${formatBytes(window)} is too large`,
      {
        hint: "pack it again without --long or --ultra",
      },
    );
  }
  const out: Uint8Array[] = [];
  const stream = new Decompress((part) => {
    out.push(part);
  });
  const push = (part: Uint8Array, last: boolean): void => {
    try {
      stream.push(part, last);
    } catch (error) {
      const early = last && error instanceof Error && /unexpected EOF/i.test(error.message);
      throw early ? tooShort("zstd", name, error) : damaged("zstd", name, error);
    }
  };
  for await (const chunk of source) {
    for (let from = 0; from < chunk.length; from += pieceBytes) {
      // The decoder keeps what it gets, so it gets bytes of its own.
      push(Uint8Array.from(chunk.subarray(from, from + pieceBytes)), false);
      for (const part of out.splice(0)) yield asBuffer(part);
    }
  }
  push(new Uint8Array(), true);
  for (const part of out.splice(0)) yield asBuffer(part);
}

const asBuffer = (part: Uint8Array): Buffer => Buffer.from(part.buffer, part.byteOffset, part.length);

/** The window that a zstd file's first frame asks for; 0 where that is no frame of data. */
function windowOf(first: Buffer): number {
  const [flags, descriptor] = [first[4], first[5]];
  if (flags === undefined || descriptor === undefined || first[3] !== 0xfd) return 0;
  if ((flags & 0x20) === 0) return 2 ** (10 + (descriptor >> 3)) * (1 + (descriptor & 7) / 8);
  // Content as one piece: its length is the window.
  const dictionary = element([0, 1, 2, 4], flags & 3);
  const lengthBytes = element([1, 2, 4, 8], flags >> 6);
  const field = first.subarray(5 + dictionary, 5 + dictionary + lengthBytes);
  return field.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

async function* bounded(source: Chunks, name: string, size: number, limits: RowLimits): Chunks {
  const limit = expandedLimit(size, limits);
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > limit) throw expands(name, limit, limits);
    yield chunk;
  }
}

/** What is said of a file that expands beyond its bound. */
export const expands = (name: string, limit: number, { maxExpansion }: RowLimits): MahaloError =>
  new MahaloError(
    "E_DATA_EXPANDS",
    `${name}: unpacked it is larger than ${formatBytes(limit)}; a file may expand to ${formatCount(maxExpansion)} times its size`,
    { hint: "if you trust the file, raise MAHALO_MAX_EXPANSION" },
  );

const tooShort = (packing: Packing, name: string, cause: unknown): MahaloError =>
  new MahaloError("E_DATA_TRUNCATED", `${name}: the ${packing} file ends too early`, {
    hint: "fetch the file again; it was cut short",
    cause,
  });

const damaged = (packing: Packing, name: string, cause: unknown): MahaloError =>
  new MahaloError(
    packing === "gzip" ? "E_DATA_GZIP" : "E_DATA_ZSTD",
    `${name}: the ${packing} file is damaged`,
    {
      hint: "fetch the file again",
      cause,
    },
  );
