/** Finds libtorch: LIBTORCH, the active Python's torch, or a private copy in the cache, fetched where it is missing. */
import { accessSync, existsSync, readdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { constants, homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { withLock } from "./lock.mjs";
import { cacheFolder } from "./paths.mjs";
import { TORCH_FOLDER, TORCH_RELEASE, TORCH_WHEELS } from "./pins.mjs";
import { run } from "./process.mjs";
import { SetupError, say } from "./report.mjs";
import { askPython, withWheels } from "./wheels.mjs";

/**
 * A usable libtorch.
 * @typedef {object} Libtorch
 * @property {string} folder holds include/ and lib/
 * @property {string} version for example "2.15.0"
 * @property {"LIBTORCH" | "python" | "cache"} source how it was found
 * @property {string} lib its lib/
 * @property {string[]} libraryFolders libtorch's own lib/ first, then those of the libraries it needs
 * @property {boolean} cuda its CUDA half loads here and a GPU is present
 * @property {string} fingerprint changes when its files do
 */

const shorten = (/** @type {string} */ path) => path.replace(homedir(), "~");

/** The version in a libtorch's headers, or undefined where the folder holds no libtorch. */
const versionOf = (/** @type {string} */ folder) => {
  try {
    const header = readFileSync(join(folder, "include/torch/headeronly/version.h"), "utf8");
    const part = (/** @type {string} */ name) =>
      header.match(new RegExp(`#define TORCH_VERSION_${name} (\\d+)`))?.[1] ?? "?";
    for (const library of ["libtorch_cpu.so", "libc10.so"]) accessSync(join(folder, "lib", library));
    return [part("MAJOR"), part("MINOR"), part("PATCH")].join(".");
  } catch {
    return undefined;
  }
};

const fits = (/** @type {string | undefined} */ version) => version?.startsWith(`${TORCH_RELEASE}.`) === true;

/** The folder that LIBTORCH names; an unusable one is an error, since the user asked for it. */
const fromEnvironment = () => {
  const { LIBTORCH } = process.env;
  if (!LIBTORCH) return undefined;
  const folder = resolve(LIBTORCH);
  const version = versionOf(folder);
  if (fits(version)) return { folder, version, source: "LIBTORCH" };
  throw new SetupError(
    version === undefined
      ? `LIBTORCH=${LIBTORCH}: no libtorch ${TORCH_RELEASE} there (include/ and lib/libtorch_cpu.so)`
      : `LIBTORCH=${LIBTORCH}: libtorch ${version} is not ${TORCH_RELEASE}.x`,
    "point LIBTORCH at a folder with include/ and lib/, or unset it to use a private copy",
  );
};

/** The torch of the active Python, found without importing it; another version is passed over. */
const fromPython = async () => {
  const code = [
    "import importlib.util as u",
    "s = u.find_spec('torch')",
    "print(s.submodule_search_locations[0] if s and s.submodule_search_locations else '')",
  ].join("\n");
  const folder = (await askPython(code))?.stdout.trim();
  if (!folder) return undefined;
  const version = versionOf(folder);
  return fits(version) ? { folder, version, source: "python" } : undefined;
};

const fromCache = () => {
  const folder = join(cacheFolder(), TORCH_FOLDER, "torch");
  const version = versionOf(folder);
  return fits(version) ? { folder, version, source: "cache" } : undefined;
};

const fetchPrivateCopy = async () => {
  const wheels = process.platform === "linux" && TORCH_WHEELS[/** @type {"x64"} */ (process.arch)];
  if (!wheels) {
    throw new SetupError(
      `no pinned libtorch ${TORCH_RELEASE} for ${process.platform} ${process.arch}`,
      `install torch ${TORCH_RELEASE} into the active Python, or set LIBTORCH to a folder with include/ and lib/`,
    );
  }
  await withLock(join(cacheFolder(), "libtorch.lock"), async () => {
    if (fromCache()) return;
    say(
      `set-up  libtorch  fetching ${TORCH_RELEASE} once into ${shorten(cacheFolder())} (550 MB, 1.3 GB unpacked)`,
    );
    await withWheels({ ...wheels, bytes: 2.5e9 }, (folder) => {
      const place = join(cacheFolder(), TORCH_FOLDER);
      // A folder that is there but was not accepted above is broken: move it away, rename the new one in.
      if (existsSync(place)) renameSync(place, join(dirname(folder), "broken"));
      renameSync(folder, place);
    });
  });
  return fromCache();
};

/** lib folders of the NVIDIA packages that lie beside a wheel's torch. */
const nvidiaFolders = (/** @type {string} */ folder) => {
  const nvidia = join(dirname(folder), "nvidia");
  if (!existsSync(nvidia)) return [];
  return readdirSync(nvidia)
    .sort()
    .map((name) => join(nvidia, name, "lib"))
    .filter((path) => existsSync(path));
};

const gpuPresent = () => existsSync("/dev/nvidia0") || existsSync("/dev/dxg");

/**
 * Says why a shared library does not load, or undefined where it does; a fresh process tries, so that a crash costs
 * nothing.
 *
 * @param {string} library
 * @returns {Promise<string | undefined>}
 */
export const whyNotLoaded = async (library) => {
  const { RTLD_NOW, RTLD_GLOBAL } = constants.dlopen;
  const program = `
    try { process.dlopen({ exports: {} }, ${JSON.stringify(library)}, ${RTLD_NOW | RTLD_GLOBAL}); }
    catch (error) { console.log(error.message); }`;
  const { status, stdout } = await run(process.execPath, ["-e", program]);
  if (status !== 0) return `the process that tried ended with status ${status}`;
  // A library that loads but is no addon is reported as one that did not register itself: that is success here.
  return /did not self-register/.test(stdout) ? undefined : stdout.trim().split("\n")[0];
};

/** True where a GPU is there and libtorch's CUDA half loads. */
const loadsCuda = async (/** @type {string} */ folder) => {
  const library = join(folder, "lib", "libtorch_cuda.so");
  if (!gpuPresent() || !existsSync(library)) return false;
  const reason = await whyNotLoaded(library);
  if (reason === undefined) return true;
  say(`set-up  libtorch  a GPU is present, but ${shorten(library)} does not load: ${reason}`);
  say(
    `set-up  libtorch  to use the GPU: pip install torch==${TORCH_RELEASE}.0 into the active Python, then run this again`,
  );
  return false;
};

/**
 * Finds libtorch, or fetches it.
 *
 * @param {{ libtorch?: { fingerprint?: string, cuda?: boolean } } | undefined} last the last set-up's record
 * @returns {Promise<{ note: string, value: Libtorch }>}
 */
export const setUpLibtorch = async (last) => {
  const found = fromEnvironment() ?? (await fromPython()) ?? fromCache() ?? (await fetchPrivateCopy());
  if (!found)
    throw new SetupError(
      "the libtorch that was fetched is not usable",
      "remove it from the cache and run this again",
    );
  const { folder, version, source } = found;
  const library = statSync(join(folder, "lib", "libtorch_cpu.so"));
  const fingerprint = [folder, version, library.size, Math.round(library.mtimeMs), gpuPresent()].join(" ");
  const cuda =
    last?.libtorch?.fingerprint === fingerprint ? last.libtorch.cuda === true : await loadsCuda(folder);
  const value = /** @type {Libtorch} */ ({
    folder,
    lib: join(folder, "lib"),
    version,
    source,
    libraryFolders: [join(folder, "lib"), ...nvidiaFolders(folder)],
    cuda,
    fingerprint,
  });
  return { note: `${version}${cuda ? " with CUDA" : ""} in ${shorten(folder)}`, value };
};
