/** Failed file operations as errors that name the file and say what to do. */
import { fileStatus, MahaloError } from "@mahalo/torch";

/** The system's short name of a failure (`ENOENT`, `ENOSPC`, ...), or undefined. */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof MahaloError || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

const hints: Record<string, string> = {
  ENOENT: "check the path",
  EACCES: "check the permissions of the file and its folder",
  EPERM: "check the permissions of the file and its folder",
  ENOSPC: "free some disk space",
  EDQUOT: "free some disk space: the quota is used up",
  EROFS: "the file system is read-only; choose another folder",
  EISDIR: "it must be a file, not a folder",
  ENOTDIR: "a part of the path is a file, not a folder",
  EEXIST: "a part of the path is a file, not a folder",
  ELOOP: "its links lead in a circle",
  ENXIO: "nothing reads from it: start the reader first",
  EPIPE: "its reader has gone",
  EMFILE: "raise the limit on open files (ulimit -n)",
  ENFILE: "the system has too many open files; close other programs",
};

/** A {@link MahaloError} for a failed file operation; what is one already comes back as it is. */
export function fileError(code: string, doing: string, path: string, error: unknown): MahaloError {
  // It names its own file, and saying twice that something failed says no more.
  if (error instanceof MahaloError) return error;
  const system = systemCodeOf(error);
  const reason =
    system === "ENOENT"
      ? "there is no such file or folder"
      : error instanceof Error
        ? error.message
        : String(error);
  return new MahaloError(code, `${path}: cannot ${doing}: ${reason}`, {
    hint: system === undefined ? undefined : hints[system],
    exitStatus: fileStatus(error),
    cause: error,
  });
}

const unwritable = new Set(["EROFS", "EACCES", "EPERM", "ENOSPC", "EDQUOT"]);

/** Whether an error says that nothing can be written in a place, as on a read-only or a full disk. */
export function isUnwritable(error: unknown): boolean {
  const cause = error instanceof MahaloError ? error.cause : error;
  return unwritable.has(systemCodeOf(cause) ?? "");
}
