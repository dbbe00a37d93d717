/** Hugging Face's cache folder: blobs by their hash, snapshots of links to them, and refs from names to commits. */

import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, lstat, rename, rm, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { ensureDir, errorCode, fileError, writeFileAtomic } from "../../core/files.ts";
import { readTextSync } from "../../core/read-file.ts";
import { isCommit, type Repo } from "./names.ts";

/** Folder of a repository in the cache. */
export const repoFolder = (cache: string, repo: Repo): string =>
  join(cache, `${repo.kind}s--${repo.id.replace("/", "--")}`);

/** Where a file's content lies, by its hash. */
export const blobPath = (cache: string, repo: Repo, etag: string): string =>
  join(repoFolder(cache, repo), "blobs", etag);

/** The commit that the cache has for a revision, or undefined. */
const knownCommit = (cache: string, repo: Repo): string | undefined => {
  if (isCommit(repo.revision)) return repo.revision;
  const ref = join(repoFolder(cache, repo), "refs", repo.revision);
  const commit = existsSync(ref) ? readTextSync(ref).trim() : "";
  return isCommit(commit) ? commit : undefined;
};

/** The folder of a revision's files, whether or not all are there; undefined where the cache knows no such revision. */
export const snapshotFolder = (cache: string, repo: Repo): string | undefined => {
  const commit = knownCommit(cache, repo);
  if (commit === undefined) return undefined;
  const folder = join(repoFolder(cache, repo), "snapshots", commit);
  return existsSync(folder) ? folder : undefined;
};

/** Path of a cached file, or undefined where it is not there (or its blob is gone). */
export const cachedFile = (cache: string, repo: Repo, file: string): string | undefined => {
  const folder = snapshotFolder(cache, repo);
  const path = folder === undefined ? undefined : join(folder, file);
  return path !== undefined && existsSync(path) ? path : undefined;
};

const exists = async (path: string): Promise<boolean> => {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
};

/** Notes which commit a branch or tag stands for; nothing to note for a commit. @throws MahaloError E_FILE_WRITE */
export const enterRef = async (cache: string, repo: Repo, commit: string): Promise<void> => {
  if (!isCommit(repo.revision))
    await writeFileAtomic(join(repoFolder(cache, repo), "refs", repo.revision), commit);
};

/**
 * Enters a blob that is there into a commit's snapshot, and the commit under the revision's name.
 *
 * @returns the file's path in the snapshot
 * @throws MahaloError E_FILE_WRITE
 */
export const enterBlob = async (
  cache: string,
  repo: Repo,
  file: string,
  version: { commit: string; etag: string },
): Promise<string> => {
  const folder = repoFolder(cache, repo);
  const path = join(folder, "snapshots", version.commit, file);
  const blob = blobPath(cache, repo, version.etag);
  // A link cannot be locked as other temporary files are; its name begins with a dot, so no list of a model's files has it.
  const temporary = join(dirname(path), `.mahalo-${randomBytes(6).toString("hex")}.tmp`);
  try {
    await ensureDir(dirname(path));
    try {
      await symlink(relative(dirname(path), blob), temporary);
    } catch (error) {
      // Some file systems, and Windows without the right, have no links.
      if (!["EPERM", "ENOTSUP", "ENOSYS", "EINVAL"].includes(errorCode(error) ?? "")) throw error;
      await copyFile(blob, temporary);
    }
    await rename(temporary, path);
  } catch (error) {
    if (await exists(temporary)) await rm(temporary, { force: true });
    throw fileError("E_FILE_WRITE", "write", path, error);
  }
  await enterRef(cache, repo, version.commit);
  return path;
};
