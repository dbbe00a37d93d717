/** Tells what a file is by its first bytes, so that one that holds no rows is called what it is. */

/** What a file turned out to be, and how to make rows of it. */
export type FileKind = { what: string; hint: string };

/** Bytes that {@link binaryKind} looks at; a tar archive has its mark that far inside. */
export const kindBytes = 512;

const unpack = (how: string): string => `unpack it first (${how}), and name what was inside`;
const convert = "convert it to JSON lines or Parquet";
const archive = unpack("or save it again as JSON lines, Parquet, .gz or .zst");
const model = "it is a model, not rows";

/** A mark at the beginning (or at `offset`), in latin1, and what it stands for. */
const marks: readonly { mark: string; offset?: number; what: string; hint: string }[] = [
  { mark: "BZh", what: "packed with bzip2", hint: unpack("bunzip2") },
  { mark: "\xfd7zXZ\0", what: "packed with xz", hint: unpack("unxz") },
  { mark: "\x04\x22\x4d\x18", what: "packed with lz4", hint: unpack("unlz4") },
  {
    mark: "PK\x03\x04",
    what: "a zip archive (or an .xlsx or .npz file, which are such)",
    hint: unpack("unzip"),
  },
  { mark: "PK\x05\x06", what: "an empty zip archive", hint: archive },
  { mark: "7z\xbc\xaf\x27\x1c", what: "a 7z archive", hint: archive },
  { mark: "Rar!", what: "a rar archive", hint: archive },
  { mark: "ustar", offset: 257, what: "a tar archive", hint: unpack("tar -x") },
  {
    mark: "ARROW1",
    what: "an Arrow (Feather) file",
    hint: `${convert}, for example with pyarrow.parquet.write_table`,
  },
  { mark: "FEA1", what: "a Feather file", hint: convert },
  {
    mark: "\xff\xff\xff\xff",
    what: "an Arrow stream, as the datasets library keeps its cache",
    hint: `${convert}, for example with Dataset.to_json or Dataset.to_parquet`,
  },
  { mark: "PARE", what: "an encrypted Parquet file", hint: "write it without encryption" },
  { mark: "ORC", what: "an ORC file", hint: convert },
  { mark: "Obj\x01", what: "an Avro file", hint: convert },
  { mark: "SQLite format 3\0", what: "an SQLite database", hint: convert },
  { mark: "\x89HDF", what: "an HDF5 file", hint: convert },
  { mark: "\x93NUMPY", what: "a NumPy array", hint: convert },
  { mark: "%PDF", what: "a PDF", hint: convert },
  { mark: "\x80\x02", what: "a Python pickle, which is never opened", hint: convert },
  { mark: "\x80\x03", what: "a Python pickle, which is never opened", hint: convert },
  { mark: "\x80\x04", what: "a Python pickle, which is never opened", hint: convert },
  { mark: "\x80\x05", what: "a Python pickle, which is never opened", hint: convert },
  { mark: "GGUF", what: "a GGUF model", hint: model },
  { mark: "\xff\xfe", what: "text in UTF-16", hint: "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)" },
  { mark: "\xfe\xff", what: "text in UTF-16", hint: "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)" },
];

/** Ways of packing that are read. */
export type Packing = "gzip" | "zstd";

const startsWith = (bytes: Buffer, mark: string, offset = 0): boolean =>
  bytes.subarray(offset, offset + mark.length).toString("latin1") === mark;

/** How a file is packed, where that can be read. */
export function packingOf(first: Buffer): Packing | undefined {
  if (startsWith(first, "\x1f\x8b")) return "gzip";
  // A skippable frame may stand first.
  if (startsWith(first, "\x28\xb5\x2f\xfd") || startsWith(first.subarray(1), "\x2a\x4d\x18")) return "zstd";
  return undefined;
}

/** What a file of other than rows is, by the mark that it begins with. */
export function binaryKind(first: Buffer): FileKind | undefined {
  if (first.length >= 16 && startsWith(first.subarray(2), "\0\0\0\0\0\0{")) {
    return { what: "a safetensors file", hint: model };
  }
  return marks.find(({ mark, offset }) => startsWith(first, mark, offset));
}

const toLines = (file: string, options = ""): string =>
  `convert it, for example with pandas: read_csv(${JSON.stringify(file)}${options}).to_json("rows.jsonl", orient="records", lines=True)`;

/** What a text is that does not begin with JSON, by its first line. */
export function textKind(line: string, file: string): FileKind | undefined {
  const text = line.trim();
  if (text.includes("\0")) {
    return {
      what: "holds zero bytes, as a file that was not written to its end, or one that is not text",
      hint: "fetch or write the file again",
    };
  }
  if (text.startsWith("version https://git-lfs")) {
    return { what: "is a pointer of Git LFS, not the file itself", hint: "fetch the file (git lfs pull)" };
  }
  if (/^<(!doctype|html|\?xml|\w+[\s>])/i.test(text)) {
    return {
      what: "is a page of HTML or XML, not rows",
      hint: "fetch the file itself, not the page about it",
    };
  }
  if (/^[[{]\s*(\[\s*)?\{?\s*'/.test(text) || /^\{.*:\s*(True|False|None)\b/.test(text)) {
    return {
      what: "is a Python dict as print writes it, not JSON",
      hint: "write rows with json.dumps, one per line",
    };
  }
  if (/^[[{]/.test(text)) return undefined;
  if (text.includes("\t")) {
    return {
      what: "is a table with tabs (TSV), not JSON",
      hint: toLines(file, `, sep="\\t"`),
    };
  }
  if (/\.csv(\.|$)/i.test(file) || /^("?[\w .-]+"?[,;])+"?[\w .-]+"?$/.test(text)) {
    return { what: "is a table with commas (CSV), not JSON", hint: toLines(file) };
  }
  return undefined;
}
