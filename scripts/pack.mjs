/**
 * Packs the npm packages: `node scripts/pack.mjs [FOLDER]` leaves their tarballs in FOLDER (default build/npm).
 *
 * Sources are compiled to ESM and .d.ts by tsc, file by file, into a copy of each package whose package.json names what
 * was built: in the clone the same packages run from their sources.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { run, tail } from "../packages/torch/setup/process.mjs";
import { ROOT } from "./paths.mjs";

/** In the order in which they need one another. */
const packages = ["math-verify", "torch", "mahalo"];

const out = resolve(process.argv[2] ?? join(ROOT, "build", "npm"));
const stage = join(out, "packages");

/** Runs a program; what it says is an error where it fails. */
const need = async (
  /** @type {string} */ program,
  /** @type {string[]} */ args,
  /** @type {string} */ cwd,
) => {
  const { status, stdout, stderr } = await run(program, args, { cwd });
  if (status !== 0) throw new Error(`${[program, ...args].join(" ")}:\n${tail(`${stdout}\n${stderr}`, 40)}`);
  return stdout;
};

/** Every target of an exports map, out of the sources or as it is: `./src/index.ts` becomes what was built of it. */
const built = (/** @type {unknown} */ target) =>
  typeof target === "string" && target.startsWith("./src/")
    ? {
        types: target.replace("./src/", "./dist/").replace(/\.ts$/, ".d.ts"),
        default: target.replace("./src/", "./dist/").replace(/\.ts$/, ".js"),
      }
    : target;

const compile = async (/** @type {string} */ name) => {
  const source = join(ROOT, "packages", name, "src");
  const config = join(stage, `tsconfig.${name}.json`);
  const options = {
    extends: join(ROOT, "tsconfig.json"),
    compilerOptions: {
      noEmit: false,
      declaration: true,
      rewriteRelativeImportExtensions: true,
      // What a package says of its own build only; its neighbours are read as their users read them.
      paths: Object.fromEntries(
        packages.map((each) => [`@mahalo/${each}`, [join(stage, each, "dist/index.d.ts")]]),
      ),
      typeRoots: [join(ROOT, "node_modules/@types")],
      rootDir: source,
      outDir: join(stage, name, "dist"),
    },
    include: [source],
    exclude: [`${source}/**/*.test.ts`, `${source}/**/testing`],
  };
  writeFileSync(config, JSON.stringify(options, null, 2));
  await need(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", config], ROOT);
  // Plain Node files are what they are.
  cpSync(source, join(stage, name, "dist"), {
    recursive: true,
    filter: (path) => !/\.ts$/.test(path) && !/\/testing$/.test(path),
  });
};

const pack = async (/** @type {string} */ name) => {
  const [from, to] = [join(ROOT, "packages", name), join(stage, name)];
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from).filter((each) => !["src", "build", "scripts"].includes(each)))
    cpSync(join(from, entry), join(to, entry), { recursive: true });
  cpSync(join(ROOT, "LICENSE"), join(to, "LICENSE"));
  const manifest = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
  manifest.exports = Object.fromEntries(
    Object.entries(manifest.exports).map(([path, target]) => [path, built(target)]),
  );
  delete manifest.scripts;
  writeFileSync(join(to, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  await compile(name);
  await need("npm", ["pack", "--pack-destination", out], to);
};

rmSync(out, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });
for (const name of packages) await pack(name);
rmSync(stage, { recursive: true });
for (const name of readdirSync(out)) process.stdout.write(`${join(out, name)}\n`);
