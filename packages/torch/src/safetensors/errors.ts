/** Failed file operations as MahaloErrors that name the file. */
import { MahaloError } from "../error.ts";

const HINTS: Record<string, string> = {
  ENOENT: "check the path",
  EACCES: "check the permissions of the file and its folder",
  ENOSPC: "free some disk space",
  EDQUOT: "free some disk space: the quota is used up",
  EISDIR: "it must be a file, not a folder",
  EROFS: "the file system is read-only; choose another folder",
};

/** The system's short name of a failure (`ENOENT`, ...), or "". */
export const systemCode = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

/** Failures that are the machine's and not of what was asked for. */
const machines = new Set(["ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM"]);

/** Exit status of a command that ends with a failed file operation: 1 where the machine failed, 2 for bad input. */
export const fileStatus = (error: unknown): 1 | 2 => (machines.has(systemCode(error)) ? 1 : 2);

/** Runs a file operation; what the system refuses becomes `E_SAFETENSORS_FILE`. */
export const onFile = <T>(path: string, doing: string, operation: () => T): T => {
  try {
    return operation();
  } catch (cause) {
    if (cause instanceof MahaloError || systemCode(cause) === "") throw cause;
    const reason = systemCode(cause) === "ENOENT" ? "there is no such file" : (cause as Error).message;
    throw new MahaloError("E_SAFETENSORS_FILE", `${path}: cannot ${doing}: ${reason}`, {
      hint: HINTS[systemCode(cause)],
      exitStatus: fileStatus(cause),
      cause,
    });
  }
};
