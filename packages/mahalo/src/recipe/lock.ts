/** One process at a time in a run's folder: a lock file that a dead process does not hold for ever. */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { ensureDir, errorCode, fileError } from "../core/files.ts";
import { parseJson } from "../core/json.ts";

const holderSchema = z.strictObject({
  pid: z.int(),
  host: z.string(),
  /** When the process began, in the kernel's own count; tells a process from a later one of the same number. */
  began: z.string(),
  since: z.string(),
});

type Holder = z.infer<typeof holderSchema>;

/** When a process of this machine began, or an empty text where the system does not tell. */
const processStart = (pid: number): string => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the command's name in parentheses and may hold spaces; the start time is field 22.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
};

const isAlive = (holder: Holder): boolean => {
  // Processes of another machine cannot be seen from here, so their lock is believed.
  if (holder.host !== hostname()) return true;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
  return processStart(holder.pid) === holder.began;
};

const readHolder = async (path: string): Promise<Holder | undefined> => {
  try {
    return parseJson(await readFile(path, "utf8"), holderSchema, path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error instanceof MahaloError ? error : fileError("E_FILE_READ", "read", path, error);
  }
};

const busy = (path: string, holder: Holder): MahaloError =>
  new MahaloError(
    "E_RUN_BUSY",
    `${dirname(path)}: process ${holder.pid} on ${holder.host} has worked here since ${holder.since}`,
    {
      hint: `wait for it, give this run another name, or remove ${path} if that process is gone`,
    },
  );

/** A name for what a dead holder leaves: the same for all who find it, and no other holder's. */
const fingerprint = (holder: Holder): string =>
  createHash("sha256").update(JSON.stringify(holder)).digest("hex").slice(0, 12);

/** Puts the draft in a dead holder's place; false where another process has changed the lock since it was read. */
const takeOver = async (path: string, dead: Holder, own: Holder): Promise<boolean> => {
  // Who takes over this very holder is settled by a lock of its own, so that nobody moves a lock that lives: whoever
  // has it and still finds the dead holder in place is alone in changing the file.
  const release = await acquire(`${path}.after-${fingerprint(dead)}`, own);
  try {
    const holder = await readHolder(path);
    if (holder === undefined || fingerprint(holder) !== fingerprint(dead)) return false;
    const draft = await writeDraft(path, own);
    await rename(draft, path);
    return true;
  } catch (error) {
    throw error instanceof MahaloError ? error : fileError("E_FILE_WRITE", "make the lock", path, error);
  } finally {
    await release();
  }
};

/** The file is written beside and put into place whole, so that no reader sees it half written. */
const writeDraft = async (path: string, own: Holder): Promise<string> => {
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, JSON.stringify(own), { flag: "wx" });
  return draft;
};

/** Makes the file at path where there is none; false where there is one. */
const create = async (path: string, own: Holder): Promise<boolean> => {
  const draft = await writeDraft(path, own);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw fileError("E_FILE_WRITE", "make the lock", path, error);
  } finally {
    await rm(draft, { force: true });
  }
};

const acquire = async (path: string, own: Holder): Promise<() => Promise<void>> => {
  for (let tries = 0; tries < 10; tries++) {
    let held = await create(path, own);
    if (!held) {
      const holder = await readHolder(path);
      if (holder === undefined) continue;
      if (isAlive(holder)) throw busy(path, holder);
      held = await takeOver(path, holder, own);
    }
    if (!held) continue;
    return async () => {
      if (held) await rm(path, { force: true });
      held = false;
    };
  }
  throw new MahaloError("E_RUN_BUSY", `${dirname(path)}: other processes keep taking the lock`, {
    hint: "try again",
  });
};

/**
 * Takes the lock of a folder; the file holds who has it.
 *
 * A lock whose process is gone (killed, or a machine that restarted) is taken over.
 *
 * @returns gives the lock back; a second call does nothing.
 * @throws MahaloError E_RUN_BUSY when another living process holds it.
 */
export const acquireLock = async (folder: string): Promise<() => Promise<void>> => {
  await ensureDir(folder);
  return acquire(join(folder, "lock"), {
    pid: process.pid,
    host: hostname(),
    began: processStart(process.pid),
    since: new Date().toISOString(),
  });
};
