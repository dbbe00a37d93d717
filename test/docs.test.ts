/** The docs are true: examples marked `run` run, page by page, over a tiny model; links lead somewhere. */
import { execFile, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import ts from "typescript";
import { afterAll, describe, expect, test } from "vitest";
import { writeControl } from "../packages/mahalo/src/evaluate/control-file.ts";
import { inventedResults } from "../packages/mahalo/src/evaluate/report/testing/fixture.ts";
import { loadModel } from "../packages/mahalo/src/model/folder/load.ts";
import { saveModel } from "../packages/mahalo/src/model/folder/save.ts";
import { allMaps } from "../packages/mahalo/src/model/testing/adapted.ts";
import { addAdapters } from "../packages/mahalo/src/model/transformer/objective-adapters.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const tiny = join(root, "test", "golden", "data", "models", "tiny-llama");
const run = promisify(execFile);

const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "bench/README.md",
  ...["docs", "docs/guides"].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `${folder}/${name}`),
  ),
].filter((page) => existsSync(join(root, page)));
const text = (page: string): string => readFileSync(join(root, page), "utf8");

/** A fenced example: its language, what its first line says behind that, its content, and its line in the page. */
type Example = { language: string; note: string; body: string; line: number };

const examples = (page: string): Example[] => {
  const content = text(page);
  return [...content.matchAll(/^```(\w+) *(.*)\n([\s\S]*?)^```$/gm)].map((match) => {
    const [, language = "", note = "", body = ""] = match;
    return { language, note, body, line: content.slice(0, match.index).split("\n").length };
  });
};

/** A port that nobody listens on. */
const freePort = async (): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
};
const port = await freePort();

/** The tiny model in place of the packaged one, and a port that is free. */
const forTesting = (body: string): string =>
  body.replaceAll("smollm2-135m-instruct", tiny).replaceAll("8321", String(port));

const python = process.env.MAHALO_PYTHON ?? "python3";
const hasPython = spawnSync(python, ["-c", "import openai"]).status === 0 || process.env.CI === "true";
if (!hasPython) console.warn("openai for Python is not there (set MAHALO_PYTHON): its example is not run");

// Inside the clone, where Node finds the packages by their names.
mkdirSync(join(root, "build"), { recursive: true });
const folder = mkdtempSync(join(root, "build", "docs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const environment = {
  ...process.env,
  PATH: `${join(root, "node_modules", ".bin")}:${process.env.PATH ?? ""}`,
  HF_HUB_OFFLINE: "1",
};

/** Runs one example in its page's folder; fails with what it wrote. */
const runExample = async (
  { language, note, body, line }: Example,
  page: string,
  at: string,
): Promise<string> => {
  const file = /\bfile=(\S+)/.exec(note)?.[1];
  if (file !== undefined) {
    mkdirSync(dirname(join(at, file)), { recursive: true });
    writeFileSync(join(at, file), forTesting(body));
    return "";
  }
  const options = { cwd: at, env: environment };
  const where = `${page}:${line}`;
  try {
    if (language === "ts") {
      const program = join(at, `example-${line}.ts`);
      writeFileSync(program, forTesting(body));
      return (await run(process.execPath, ["--import", "tsx", program], options)).stdout;
    }
    if (language === "python") {
      if (!hasPython) return "";
      return (await run(python, ["-c", forTesting(body)], options)).stdout;
    }
    if (language === "sh") {
      return (await run("bash", ["-euc", forTesting(body).replaceAll("npx mahalo", "mahalo")], options))
        .stdout;
    }
  } catch (error) {
    const { stderr = "" } = error as { stderr?: string };
    throw new Error(`${where}: the example fails\n${stderr.slice(-2000)}`, { cause: error });
  }
  throw new Error(`${where}: "${language}" cannot be run`);
};

const isLive = ({ note }: Example): boolean => /(^| )(run$|run |file=)/.test(note);

/** What `npm start` leaves: a model with the quickstart's two heads and adapters, and what was measured of it. */
const layOutQuickstart = async (at: string): Promise<void> => {
  const model = await loadModel(tiny, { training: true });
  const objectives = ["accuracy", "engagement"];
  model.heads.addNoisyCopies(objectives, { seed: 0, compute: "float32" });
  addAdapters(model.backbone, allMaps, objectives, 0);
  const to = join(at, "runs", "quickstart", "align", "model");
  await saveModel(model, to);
  await writeControl(to, inventedResults());
  model.dispose();
};

describe("examples", () => {
  for (const page of pages.filter((page) => examples(page).some(isLive))) {
    test(`of ${page} run`, async () => {
      const at = join(folder, page.replaceAll(/\W/g, "-"));
      mkdirSync(at);
      await layOutQuickstart(at);
      for (const example of examples(page).filter(isLive)) await runExample(example, page, at);
    });
  }
});

test("examples in TypeScript have no mistake of type", () => {
  const at = mkdtempSync(join(folder, "types-"));
  const files = pages.flatMap((page) =>
    examples(page)
      .filter(({ language, note }) => language === "ts" && /^(run|file=)/.test(note))
      .map(({ body, line, note }) => {
        const name = /\bfile=(\S+)/.exec(note)?.[1] ?? `${line}.ts`;
        const file = join(at, page.replaceAll(/\W/g, "-"), name);
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, body);
        return file;
      }),
  );
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  const program = ts.createProgram(files, options);
  const mistakes = files.flatMap((file) => {
    const source = program.getSourceFile(file);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      ({ messageText }) => `${file}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`,
    );
  });
  expect(mistakes).toEqual([]);
});

/** Anchors of a page's headings, as GitHub makes them. */
const anchors = (page: string): string[] =>
  [...text(page).matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );

test("links lead somewhere", () => {
  const broken = pages.flatMap((page) =>
    [...text(page).matchAll(/(?<!!\[[^\]]*)\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
      if (/^https?:/.test(link)) return [];
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : join(dirname(page), path);
      if (!existsSync(join(root, target))) return [`${page}: ${link}`];
      return anchor === undefined || anchors(target).includes(anchor) ? [] : [`${page}: ${link}`];
    }),
  );
  expect(broken).toEqual([]);
});

test("every guide is named in the README", () => {
  const guides = pages.filter((page) => page.startsWith("docs/"));
  expect(guides.filter((page) => !text("README.md").includes(`](${page})`))).toEqual([]);
});
