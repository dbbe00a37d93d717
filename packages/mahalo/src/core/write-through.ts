/** Writes to what is no plain file: devices, pipes, sockets, and the process's own open files. */
import { closeSync, constants, fstatSync, openSync, type Stats, statSync, write, writeSync } from "node:fs";
import { connect } from "node:net";
import { promisify } from "node:util";
import { followLinks } from "@mahalo/torch";
import { systemCodeOf } from "./file-error.ts";
import { pause } from "./interrupt.ts";

/** Content of a file: text (UTF-8), bytes, or chunks of either for what is too large to hold. */
export type Content =
  | string
  | Uint8Array
  | Iterable<string | Uint8Array>
  | AsyncIterable<string | Uint8Array>;

/** Where a path leads: an open file of this process, something to write through, or a plain file (there or not yet). */
export type Target =
  | { kind: "open"; fd: number }
  | { kind: "special"; path: string; stats: Stats }
  | { kind: "file"; path: string; mode: number | undefined };

const openFile = /^\/(?:dev|proc\/self)\/fd\/(\d{1,9})$/;
const standard = new Map([
  ["/dev/stdin", 0],
  ["/dev/stdout", 1],
  ["/dev/stderr", 2],
]);

function openNumber(path: string): number | undefined {
  const number = openFile.exec(path)?.[1];
  return standard.get(path) ?? (number === undefined ? undefined : Number(number));
}

/** Says where a path leads, links followed. */
export function targetOf(path: string): Target {
  const end = followLinks(path, (hop) => openNumber(hop) !== undefined);
  const fd = openNumber(end);
  if (fd !== undefined) return { kind: "open", fd };
  const stats = statSync(end, { throwIfNoEntry: false });
  // A folder is left to the attempt to write a file in its place, which the system refuses in its own words.
  if (stats === undefined || stats.isFile() || stats.isDirectory())
    return { kind: "file", path: end, mode: stats?.isFile() === true ? stats.mode & 0o777 : undefined };
  return { kind: "special", path: end, stats };
}

const writeSome = promisify(write);

/** Writes all of it; a pipe that is full is waited for. */
async function writeAll(fd: number, data: string | Uint8Array): Promise<void> {
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  for (let done = 0; done < bytes.length; ) {
    try {
      done += (await writeSome(fd, bytes, done)).bytesWritten;
    } catch (error) {
      if (systemCodeOf(error) !== "EAGAIN") throw error;
      await pause(5, "waiting for a pipe to be read");
    }
  }
}

/** As {@link writeAll}, at once; for lines that must be out before the next is begun. */
export function writeAllSync(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      if (systemCodeOf(error) !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** Writes content to an open file. */
export async function writeContent(fd: number, content: Content): Promise<void> {
  if (typeof content === "string" || content instanceof Uint8Array) return writeAll(fd, content);
  for await (const chunk of content) await writeAll(fd, chunk);
}

/** Opens a device or pipe for writing. A pipe that nobody reads would hold up the process for good: ENXIO says so. */
export function openSpecial({ path, stats }: { path: string; stats: Stats }): number {
  return openSync(path, constants.O_WRONLY | (stats.isFIFO() ? constants.O_NONBLOCK : 0));
}

async function openPipe(target: { path: string; stats: Stats }): Promise<number> {
  for (;;) {
    try {
      return openSpecial(target);
    } catch (error) {
      if (systemCodeOf(error) !== "ENXIO" || !target.stats.isFIFO()) throw error;
      await pause(50, `waiting for a reader of ${target.path}`);
    }
  }
}

async function sendTo(path: string, content: Content): Promise<void> {
  const chunks = typeof content === "string" || content instanceof Uint8Array ? [content] : content;
  const socket = connect(path);
  await new Promise<void>((done, fail) => {
    socket.on("error", fail);
    socket.on("close", () => done());
    socket.resume();
    const send = async (): Promise<void> => {
      for await (const chunk of chunks)
        if (!socket.write(chunk)) await new Promise((go) => socket.once("drain", go));
      socket.end();
    };
    send().catch(fail);
  }).finally(() => socket.destroy());
}

/** Writes content to what is no plain file; nothing is replaced. @throws what the system says */
export async function writeThrough(
  target: Exclude<Target, { kind: "file" }>,
  content: Content,
): Promise<void> {
  if (target.kind === "open") {
    fstatSync(target.fd);
    return writeContent(target.fd, content);
  }
  if (target.stats.isSocket()) return sendTo(target.path, content);
  const fd = await openPipe(target);
  try {
    await writeContent(fd, content);
  } finally {
    closeSync(fd);
  }
}
