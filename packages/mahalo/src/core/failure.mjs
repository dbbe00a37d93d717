/** What a person sees of any error: one coded line; its stack only where MAHALO_DEBUG asks for it. Plain Node. */

/** @typedef {{ code: string, message: string, hint: string | undefined, status: number }} Failure */

/** @type {Record<string, string>} */
const systemHints = {
  EMFILE: "raise the limit on open files (ulimit -n 1024)",
  ENFILE: "the system has too many open files; close other programs",
  ENOSPC: "free some disk space",
  EDQUOT: "free some disk space: the quota is used up",
  EACCES: "check the permissions of the file and its folder",
  EPERM: "check the permissions of the file and its folder",
  EROFS: "the file system is read-only; choose another folder",
  EISDIR: "it must be a file, not a folder",
  ENOTDIR: "a part of the path is a file, not a folder",
  ENOMEM: "close other programs, or use a machine with more memory",
  EAGAIN: "the system has no process or thread left; close other programs, or raise the limit (ulimit -u)",
};

/**
 * An error's code, message and hint, and the exit status of a command that ends with it.
 *
 * @param {unknown} error
 * @returns {Failure}
 */
export const explainFailure = (error) => {
  const { name, message, code, syscall, hint, exitStatus } =
    error instanceof Error
      ? /** @type {Error & Record<string, any>} */ (error)
      : { name: "", message: String(error) };
  if (name === "MahaloError") return { code, message, hint, status: exitStatus ?? 2 };
  if (syscall === "uv_cwd") {
    return {
      code: "E_FOLDER_GONE",
      message: "the folder that this command was started in is gone",
      hint: "change into one that exists",
      status: 2,
    };
  }
  if (typeof syscall === "string" && typeof code === "string") {
    return { code: "E_SYSTEM", message, hint: systemHints[code], status: 1 };
  }
  return {
    code: "E_INTERNAL",
    message: `unexpected error: ${name ? `${name}: ` : ""}${message.split("\n")[0]}`,
    hint: "this is a bug in mahalo: run the command again with MAHALO_DEBUG=1, and report what it prints as an issue",
    status: 1,
  };
};

/** Whether stacks are asked for. */
export const isDebugging = () => !["", "0", undefined].includes(process.env.MAHALO_DEBUG);

/**
 * An error as text for people: one line, and the stacks of the error and its causes where they are asked for.
 *
 * @param {unknown} error
 */
export const describeFailure = (error) => {
  const { code, message, hint } = explainFailure(error);
  const line = `${hint ? `${message.replace(/\.$/, "")}; ${hint}` : message}  (${code})`;
  const stacks = [];
  for (let at = error; isDebugging() && at instanceof Error; at = at.cause)
    stacks.push(`\n${at.stack ?? at}`);
  return line + stacks.join("");
};

/**
 * Ends the process with one line for any error that nothing else catches.
 *
 * @param {string} program what the line begins with
 */
export const endOnFailure = (program) => {
  /** @type {(error: unknown) => void} */
  const end = (error) => {
    process.stderr.write(`${program}: ${describeFailure(error)}\n`);
    process.exit(explainFailure(error).status);
  };
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
  // A terminal that is gone, or a full disk, is no reason for another failure.
  process.stderr.on("error", () => {});
};
