/** Compiles the native addon with the system's C++ compiler, only what changed. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { BUILD, NATIVE, packageFolder } from "./paths.mjs";
import { run, tail } from "./process.mjs";
import { SetupError, say } from "./report.mjs";

const DEFINES = [
  "-D_GLIBCXX_USE_CXX11_ABI=1",
  "-DNAPI_VERSION=9",
  "-DNODE_ADDON_API_DISABLE_DEPRECATED",
  "-DNODE_GYP_MODULE_NAME=mahalo_torch",
];
const COMPILE = [
  "-std=c++20",
  "-O2",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-fPIC",
  "-fvisibility=hidden",
  "-pthread",
  ...DEFINES,
];

/**
 * With g++ our kernels share libtorch's threads (its parallel_for is a plain loop without -fopenmp); clang would bring an
 * OpenMP runtime of its own beside libtorch's, so there it only vectorises.
 */
const threading = (/** @type {string} */ version) => (/clang/i.test(version) ? "-fopenmp-simd" : "-fopenmp");

/**
 * The sources are compiled together in this many bundles, on as many cores: reading libtorch's headers takes 10 to 20 s,
 * more than most sources do, so that a file for each would double the whole.
 */
const BUNDLES = 2;

const digest = (/** @type {(string | Buffer)[]} */ ...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
};

/** The compiler and the first line it says of itself: CXX, c++ or g++. */
const findCompiler = async () => {
  const names = process.env.CXX ? [process.env.CXX] : ["c++", "g++", "clang++"];
  for (const name of names) {
    const [program = name, ...args] = name.trim().split(/\s+/);
    const { status, stdout } = await run(program, [...args, "--version"]);
    if (status === 0) return { program, args, version: stdout.split("\n")[0]?.trim() ?? "" };
  }
  throw new SetupError(
    process.env.CXX ? `CXX=${process.env.CXX} does not run` : "no C++ compiler found (c++, g++, clang++)",
    "install one that supports C++20 (Debian: apt-get install g++), or set CXX to one",
  );
};

const includesOf = (/** @type {import("./libtorch.mjs").Libtorch} */ libtorch) => [
  // libtorch's headers come as system headers: their warnings are not ours.
  ...["-isystem", packageFolder("node-addon-api")],
  ...["-isystem", join(packageFolder("node-api-headers"), "include")],
  ...["-isystem", join(libtorch.folder, "include")],
  ...["-isystem", join(libtorch.folder, "include/torch/csrc/api/include")],
];

const linkFlags = (/** @type {import("./libtorch.mjs").Libtorch} */ libtorch) => [
  ...["-shared", "-pthread", `-L${join(libtorch.folder, "lib")}`, "-ltorch_cpu", "-lc10"],
  // The CUDA libraries that libtorch_cpu names are looked for at load time, not here.
  "-Wl,--allow-shlib-undefined",
  ...libtorch.libraryFolders.map((folder) => `-Wl,-rpath,${folder}`),
];

/** Runs jobs, at most `width` at a time. */
const inParallel = async (/** @type {(() => Promise<void>)[]} */ jobs, /** @type {number} */ width) => {
  const queue = [...jobs];
  const worker = async () => {
    for (let job = queue.shift(); job; job = queue.shift()) await job();
  };
  await Promise.all(Array.from({ length: Math.min(width, jobs.length) }, worker));
};

const compile = async (
  /** @type {string} */ what,
  /** @type {string} */ program,
  /** @type {string[]} */ args,
) => {
  const { status, stderr } = await run(program, args);
  if (status === 0) return;
  const killed = status === null || /Killed|cannot allocate/i.test(stderr);
  throw new SetupError(
    `${what} did not compile:\n${
      stderr
        .split("\n")
        .filter((line) => /error|Killed/.test(line))
        .slice(0, 8)
        .join("\n") || tail(stderr)
    }`,
    killed
      ? "the compiler ran out of memory: close other programs, or give the machine 3 GB"
      : /No space left/.test(stderr)
        ? "free some disk space"
        : "a compiler that supports C++20 is needed (g++ 11 or clang 14 or newer); set CXX to one",
  );
};

/**
 * Divides sources into bundles, the largest first, each to the bundle that is smallest so far.
 *
 * @param {{ name: string, text: Buffer }[]} sources
 */
const bundle = (sources) => {
  const bundles = Array.from({ length: Math.min(BUNDLES, sources.length) }, () => ({
    size: 0,
    sources: /** @type {{ name: string, text: Buffer }[]} */ ([]),
  }));
  for (const source of [...sources].sort((a, b) => b.text.length - a.text.length)) {
    const smallest = bundles.reduce((least, each) => (each.size < least.size ? each : least));
    smallest.size += source.text.length;
    smallest.sources.push(source);
  }
  return bundles.map((each) => each.sources);
};

/**
 * Compiles each bundle into its object.
 *
 * @param {{ program: string, args: string[], version: string }} compiler
 * @param {string[]} includes
 * @param {{ files: string[], object: string }[]} units
 */
const compileAll = async (compiler, includes, units) => {
  const flags = [...compiler.args, ...COMPILE, threading(compiler.version), ...includes];
  const jobs = units.map(({ files, object }) => async () => {
    const source = `${object}.${process.pid}.cpp`;
    const temporary = `${object}.${process.pid}.tmp`;
    try {
      writeFileSync(source, files.map((file) => `#include ${JSON.stringify(file)}\n`).join(""));
      await compile(files.map((file) => basename(file)).join(", "), compiler.program, [
        ...flags,
        ...["-c", source, "-o", temporary],
      ]);
      renameSync(temporary, object);
    } finally {
      for (const path of [source, temporary]) rmSync(path, { force: true });
    }
  });
  await inParallel(jobs, availableParallelism());
};

/**
 * What one build depends on: the hash of every source with the headers and flags, and of the whole.
 * @param {import("./libtorch.mjs").Libtorch} libtorch
 * @param {{ program: string, args: string[], version: string }} compiler
 * @param {{ native: string, build: string }} places
 */
const planBuild = (libtorch, compiler, { native, build }) => {
  const names = existsSync(native) ? readdirSync(native).sort() : [];
  const sources = names.filter((name) => name.endsWith(".cpp"));
  if (sources.length === 0)
    throw new SetupError(`${native} holds no .cpp file`, "restore it from the repository");
  const read = (/** @type {string} */ name) => readFileSync(join(native, name));
  const headers = names.filter((name) => /\.(h|hpp|inl)$/.test(name)).flatMap((name) => [name, read(name)]);
  const napi = ["node-addon-api", "node-api-headers"].map((name) =>
    readFileSync(join(packageFolder(name), "package.json")),
  );
  const includes = includesOf(libtorch);
  const common = [
    compiler.version,
    ...compiler.args,
    ...COMPILE,
    threading(compiler.version),
    ...includes,
    libtorch.fingerprint,
    ...napi,
  ];
  const units = bundle(sources.map((name) => ({ name, text: read(name) }))).map((members, index) => ({
    files: members.map(({ name }) => join(native, name)),
    object: join(
      build,
      "objects",
      `${index}-${digest(...common, ...headers, ...members.flatMap(({ name, text }) => [name, text])).slice(0, 16)}.o`,
    ),
  }));
  const link = [threading(compiler.version), ...linkFlags(libtorch)];
  return { units, includes, link, hash: digest(...units.map((unit) => unit.object), ...link) };
};

/**
 * Builds the addon unless the last set-up built the same.
 *
 * @param {import("./libtorch.mjs").Libtorch} libtorch
 * @param {{ addon?: { hash?: string } } | undefined} last the last set-up's record
 * @param {{ native: string, build: string }} [places] folders of the sources and of what is built
 */
export const setUpAddon = async (libtorch, last, places = { native: NATIVE, build: BUILD }) => {
  const compiler = await findCompiler();
  const { units, includes, link, hash } = planBuild(libtorch, compiler, places);
  const output = join(places.build, "mahalo_torch.node");
  const value = { path: output, hash, compiler: compiler.version };
  if (last?.addon?.hash === hash && existsSync(output)) return { note: "up to date", value };

  const objects = join(places.build, "objects");
  mkdirSync(objects, { recursive: true });
  const missing = units.filter((unit) => !existsSync(unit.object));
  const countFiles = (/** @type {typeof units} */ some) =>
    some.reduce((sum, unit) => sum + unit.files.length, 0);
  const what = `${countFiles(missing)} of ${countFiles(units)} files`;
  say(`set-up  addon     compiling ${what} with ${compiler.version}, which takes about a minute`);
  await compileAll(compiler, includes, missing);
  // Renamed into place: a process that has the old addon open keeps its copy.
  const temporary = `${output}.${process.pid}.tmp`;
  const inputs = units.map((unit) => unit.object);
  await compile("the addon", compiler.program, [...compiler.args, ...inputs, ...link, "-o", temporary]);
  renameSync(temporary, output);
  const kept = new Set(inputs.map((path) => basename(path)));
  for (const name of readdirSync(objects)) if (!kept.has(name)) rmSync(join(objects, name), { force: true });
  return { note: `compiled ${what}`, value };
};
