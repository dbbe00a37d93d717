/** One process at a time in a run's folder: a lock file that a dead process does not hold for ever. */
import { randomBytes } from "node:crypto";
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

/** Takes the file of a dead holder out of the way, unless another process was faster and holds it by now. */
const clearDead = async (path: string, dead: Holder): Promise<void> => {
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return;
    throw fileError("E_FILE_WRITE", "move", path, error);
  }
  const moved = await readHolder(aside);
  if (moved !== undefined && JSON.stringify(moved) !== JSON.stringify(dead)) {
    await link(aside, path).catch(() => undefined);
    await rm(aside, { force: true });
    throw busy(path, moved);
  }
  await rm(aside, { force: true });
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
  const path = join(folder, "lock");
  await ensureDir(folder);
  const own: Holder = {
    pid: process.pid,
    host: hostname(),
    began: processStart(process.pid),
    since: new Date().toISOString(),
  };
  // The file is written beside and linked into place, so that no reader sees it half written.
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, JSON.stringify(own), { flag: "wx" });
  try {
    for (let tries = 0; tries < 10; tries++) {
      try {
        await link(draft, path);
        let held = true;
        return async () => {
          if (held) await rm(path, { force: true });
          held = false;
        };
      } catch (error) {
        if (errorCode(error) !== "EEXIST") throw fileError("E_FILE_WRITE", "make the lock", path, error);
      }
      const holder = await readHolder(path);
      if (holder === undefined) continue;
      if (isAlive(holder)) throw busy(path, holder);
      await clearDead(path, holder);
    }
    throw new MahaloError("E_RUN_BUSY", `${folder}: other processes keep taking the lock`, {
      hint: "try again",
    });
  } finally {
    await rm(draft, { force: true });
  }
};
