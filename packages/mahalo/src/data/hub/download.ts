/** Downloads one file of the hub into the cache: resumed where it stopped, checked by its hash, then given its name. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { ensureDir, fileError } from "../../core/files.ts";
import { resumes, throwIfStopping } from "../../core/interrupt.ts";
import { withLock } from "../../core/lock.ts";
import { note, type Progress, progress } from "../../core/progress.ts";
import { PassingFailure } from "../../core/retry.ts";
import { blobPath, enterBlob, repoFolder } from "./cache.ts";
import { checkFile, fileUrl, isCommit, type Repo } from "./names.ts";
import { insist, nameOf, type Patience, request } from "./request.ts";
import type { HubSettings } from "./settings.ts";

/** What the hub says about a file. */
type FileFacts = {
  commit: string;
  /** SHA-256 of a large file, git's SHA-1 of a small one, or another name for its content. */
  etag: string;
  size: number | undefined;
};

const sha1 = /^[0-9a-f]{40}$/;
const sha256 = /^[0-9a-f]{64}$/;

/** An ETag without its quotes and without the mark of a weak one. */
const bareEtag = (etag: string): string => etag.replace(/^W\//, "").replaceAll('"', "");

const protocolError = (settings: HubSettings, repo: Repo, file: string, what: string): MahaloError =>
  new MahaloError("E_HUB_PROTOCOL", `${nameOf(repo, file)}: ${settings.endpoint} ${what}`, {
    hint: "check that HF_ENDPOINT is the address of a hub",
  });

/** Asks for a file's facts; a redirect to where files are kept carries them, one to a repository's new name does not. */
const askFacts = async (
  settings: HubSettings,
  patience: Patience,
  repo: Repo,
  file: string,
): Promise<FileFacts> => {
  const home = new URL(settings.endpoint).origin;
  const response = await request(
    fileUrl(settings.endpoint, repo, file),
    { method: "HEAD" },
    { settings, patience, repo, file },
    ({ headers }, target) =>
      headers.has("x-repo-commit") && (headers.has("x-linked-etag") || new URL(target).origin !== home),
  );
  const commit = response.headers.get("x-repo-commit") ?? "";
  const etag = bareEtag(response.headers.get("x-linked-etag") ?? response.headers.get("etag") ?? "");
  const length = response.headers.get("x-linked-size") ?? response.headers.get("content-length");
  if (!isCommit(commit)) throw protocolError(settings, repo, file, "does not name the file's commit");
  // The tag becomes a file name.
  if (!/^[\w-]{1,128}$/.test(etag))
    throw protocolError(settings, repo, file, "does not name the file's hash");
  const size = length === null ? undefined : Number(length);
  if (size !== undefined && !Number.isSafeInteger(size)) {
    throw protocolError(settings, repo, file, `gives "${length}" as the file's size`);
  }
  return { commit, etag, size };
};

/** The hash that an ETag stands for, over a file's content; undefined for a tag that is no hash. */
const hashOf = async (path: string, etag: string, size: number): Promise<string | undefined> => {
  if (!sha1.test(etag) && !sha256.test(etag)) return undefined;
  // Git hashes a header with the length before the content.
  const hash = sha256.test(etag) ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest("hex");
};

const sizeOf = async (path: string): Promise<number> => {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
};

/**
 * Writes an answer's body to the end of a file; a connection that goes silent is given up.
 *
 * Of a body that is longer than `most` bytes one byte more than these is written, which tells that it is, and the rest
 * is not fetched.
 */
const appendBody = async (
  response: Response,
  handle: FileHandle,
  patience: Patience,
  most: number,
  onBytes: (count: number) => void,
): Promise<void> => {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  let left = most + 1;
  try {
    for (;;) {
      throwIfStopping("downloading", resumes);
      let timer: NodeJS.Timeout | undefined;
      const stalled = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new PassingFailure("the connection stalled")), patience.stall);
      });
      let piece: Awaited<ReturnType<typeof reader.read>>;
      try {
        piece = await Promise.race([reader.read(), stalled]);
      } catch (error) {
        if (error instanceof PassingFailure) throw error;
        throw new PassingFailure("the connection was cut", { cause: error });
      } finally {
        clearTimeout(timer);
      }
      if (piece.done) return;
      const part = piece.value.subarray(0, left);
      await handle.writeFile(part);
      onBytes(part.length);
      left -= part.length;
      if (left === 0) return;
    }
  } finally {
    reader.cancel().catch(() => {
      // The connection is gone already.
    });
  }
};

/** Where the bytes of an answer to a range request begin: 0 for an answer that ignores the range. */
const rangeStart = (response: Response): number => {
  if (response.status !== 206) return 0;
  return Number(/^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1]);
};

/** Fetches what is missing of `partial`, once. */
const fetchRest = async (
  url: string,
  partial: string,
  context: { settings: HubSettings; patience: Patience; repo: Repo; file: string },
  size: number | undefined,
  bar: Progress,
): Promise<void> => {
  const have = await sizeOf(partial);
  if (size !== undefined && have === size && size > 0) return;
  const headers: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
  const response = await request(url, { method: "GET", headers }, context);
  const start = response.status === 416 ? Number.NaN : rangeStart(response);
  if (start !== 0 && start !== have) {
    // The server cannot go on from here: what is there is longer than the file, or of another one.
    await response.body?.cancel();
    await rm(partial, { force: true });
    throw new PassingFailure("the download has to start again");
  }
  let handle: FileHandle;
  try {
    handle = await open(partial, start === 0 ? "w" : "a");
  } catch (error) {
    throw fileError("E_FILE_WRITE", "write", partial, error);
  }
  try {
    let done = start;
    const most = size === undefined ? Number.POSITIVE_INFINITY : size - start;
    await appendBody(response, handle, context.patience, most, (count) => {
      done += count;
      bar.update(done / 1e6);
    });
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (size !== undefined && (await sizeOf(partial)) < size)
    throw new PassingFailure("the connection was cut");
};

/** Checks a finished download; what is wrong with it, or undefined. */
const fault = async (partial: string, facts: FileFacts): Promise<string | undefined> => {
  const size = await sizeOf(partial);
  if (facts.size !== undefined && size > facts.size)
    return `is longer than the ${facts.size} bytes announced`;
  if (facts.size !== undefined && size !== facts.size) return `has ${size} bytes instead of ${facts.size}`;
  const hash = await hashOf(partial, facts.etag, size);
  return hash === undefined || hash === facts.etag ? undefined : `has hash ${hash} instead of ${facts.etag}`;
};

/**
 * Downloads a file, or finds that its content is there already under another revision.
 *
 * @returns its path in the cache
 * @throws MahaloError E_HUB_NOT_FOUND, E_HUB_DENIED, E_HUB_UNREACHABLE, E_HUB_CHECKSUM, E_HUB_PROTOCOL, E_FILE_WRITE
 */
export const downloadFile = async (
  settings: HubSettings,
  patience: Patience,
  repo: Repo,
  file: string,
): Promise<string> => {
  checkFile(repo, file);
  const what = nameOf(repo, file);
  const facts = await insist(what, patience, () => askFacts(settings, patience, repo, file));
  const blob = blobPath(settings.cache, repo, facts.etag);
  const lock = join(
    settings.cache,
    ".locks",
    basename(repoFolder(settings.cache, repo)),
    `${facts.etag}.mahalo`,
  );
  await withLock(
    lock,
    async () => {
      // A blob gets its name when it has been checked.
      if (existsSync(blob)) return;
      const partial = `${blob}.incomplete`;
      await ensureDir(dirname(partial));
      const resumed = (await sizeOf(partial)) > 0;
      // The commit is asked for, so that a branch that moves meanwhile does not mix two contents.
      const url = fileUrl(settings.endpoint, { ...repo, revision: facts.commit }, file);
      const fetchAll = async (): Promise<void> => {
        let before = await sizeOf(partial);
        const bar = progress({
          label: `${repo.id}/${file}`,
          total: Math.max(1, Math.round((facts.size ?? 0) / 1e6)),
          unit: "MB",
          from: before / 1e6,
        });
        let reached = before;
        await insist(
          what,
          patience,
          async () => {
            try {
              await fetchRest(url, partial, { settings, patience, repo, file }, facts.size, bar);
            } finally {
              reached = await sizeOf(partial);
            }
          },
          () => {
            const moved = reached > before;
            before = reached;
            return moved;
          },
        );
        bar.done();
      };
      await fetchAll();
      let wrong = await fault(partial, facts);
      if (wrong !== undefined && resumed) {
        // The part that was there may have been of another file: once more, from the beginning.
        await rm(partial, { force: true });
        await fetchAll();
        wrong = await fault(partial, facts);
      }
      if (wrong !== undefined) {
        await rm(partial, { force: true });
        throw new MahaloError("E_HUB_CHECKSUM", `${what}: the downloaded file ${wrong}; it was removed`, {
          hint: "try again; if it happens again, the server or a proxy sends wrong data",
          exitStatus: 1,
        });
      }
      await rename(partial, blob);
    },
    (holder) => note(`${what}: waiting for ${holder}, which downloads it`),
  );
  return enterBlob(settings.cache, repo, file, facts);
};
