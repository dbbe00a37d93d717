/** One process at a time in a run's folder. */
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { describeHolder, type FileLock, networkFileSystem, takeLock } from "../../core/lock.ts";

/**
 * Takes the lock of a folder.
 *
 * @throws MahaloError E_RUN_BUSY when another process holds it; E_FILE_WRITE where the folder cannot be written to.
 */
export async function acquireLock(folder: string): Promise<FileLock> {
  const path = join(folder, "lock");
  const lock = await takeLock(path);
  if (lock !== undefined) return lock;
  const network = networkFileSystem(folder);
  throw new MahaloError(
    "E_RUN_BUSY",
    `${folder}: another run is using this folder (${describeHolder(path)})`,
    {
      hint:
        network === undefined
          ? "wait for it, or give this run another name"
          : `wait for it, or give this run another name; the folder is on ${network}, whose server may keep a lock for a minute after its machine is gone`,
    },
  );
}
