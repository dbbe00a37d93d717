/** Failed file operations as MahaloErrors that name the file. */
import { MahaloError } from "../error.ts";

const HINTS: Record<string, string> = {
  ENOENT: "check the path",
  EACCES: "check the permissions of the file and its folder",
  ENOSPC: "free some disk space",
  EISDIR: "a file is wanted, not a folder",
  EROFS: "the file system is read-only; choose another folder",
};

/** The system's short name of a failure (`ENOENT`, ...), or "". */
export const systemCode = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

/** Runs a file operation; what the system refuses becomes `E_SAFETENSORS_FILE`. */
export const onFile = <T>(path: string, doing: string, operation: () => T): T => {
  try {
    return operation();
  } catch (cause) {
    if (cause instanceof MahaloError || systemCode(cause) === "") throw cause;
    const reason = systemCode(cause) === "ENOENT" ? "there is no such file" : (cause as Error).message;
    throw new MahaloError("E_SAFETENSORS_FILE", `${path}: cannot ${doing}: ${reason}`, {
      hint: HINTS[systemCode(cause)],
      cause,
    });
  }
};
