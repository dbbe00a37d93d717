/** The house stays walkable: rooms import to their right only, files stay short and say what they are for. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { judgeKinds } from "../packages/mahalo/src/judges/registry.ts";
import { headKinds } from "../packages/mahalo/src/model/reward/head-kinds/registry.ts";
import { choices, strategies } from "../packages/mahalo/src/search/strategies/registry.ts";
import { pairLosses } from "../packages/mahalo/src/train/losses.ts";
import { alignMethods } from "../packages/mahalo/src/train/methods/registry.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const longest = 400;

/** Rooms of packages/mahalo/src from left to right: each may import those behind it; stages meet in recipe/ only. */
const order = [
  "cli",
  "serve",
  "recipe",
  "evaluate",
  "rollout",
  "search",
  "judges",
  "scoring",
  "endpoint",
  "decode",
  "train",
  "model",
  "data",
  "core",
];

/** Rooms that never import each other, whatever their order: training must not need what answers, nor that training. */
const apart: Readonly<Record<string, readonly string[]>> = {
  decode: ["train"],
  endpoint: ["train"],
  judges: ["train"],
  rollout: ["train"],
  scoring: ["train"],
  search: ["train"],
};

const mayImport: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  order.map((room, index) => [
    room,
    order.slice(index + 1).filter((other) => apart[room]?.includes(other) !== true),
  ]),
);

/** The package's surface, which names what programs may use of all rooms. */
const surface: ReadonlySet<string> = new Set(["index.ts", "exports"]);

// Tracked files only: what lies about uncommitted is nobody's house.
const files = execFileSync("git", ["ls-files", "-z", "packages", "bench", "scripts", "test", "*.ts"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\0")
  .filter((path) => /\.(ts|mjs|cpp|hpp|py)$/.test(path) && !/\.generated\.ts$/.test(path))
  .filter((path) => existsSync(join(root, path)));
const text = (path: string): string => readFileSync(join(root, path), "utf8");
const rooms = join("packages", "mahalo", "src");
const roomOf = (path: string): string => {
  const [room = ""] = relative(rooms, path).split("/");
  return room;
};

/** Modules that a file names, types and dynamic imports included. */
const imports = (path: string): string[] =>
  ts.preProcessFile(text(path), true, true).importedFiles.map(({ fileName }) => fileName);

/** Says what is wrong with a room's file that imports a module, if anything is. */
const wrongImport = (path: string, module: string): string | undefined => {
  const from = roomOf(path);
  const wrong = (why: string): string => `${path}: imports ${module}: ${why}`;
  if (module === "mahalo") return wrong("a room names files, not the package's own surface");
  if (!module.startsWith(".")) return undefined;
  const target = join(dirname(path), module);
  if (!target.startsWith(rooms)) return wrong("packages meet by their names");
  const to = roomOf(target);
  if (to === from || surface.has(from)) return undefined;
  return mayImport[from]?.includes(to) ? undefined : wrong(`${from} stands to the right of ${to}`);
};

/** A circle of every group of files that import each other, as a path. */
const circles = (imported: ReadonlyMap<string, readonly string[]>): string[] => {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, above: readonly string[]): void => {
    const start = above.indexOf(path);
    if (start !== -1) found.push([...above.slice(start), path].join(" -> "));
    if (start !== -1 || done.has(path)) return;
    for (const next of imported.get(path) ?? []) if (imported.has(next)) visit(next, [...above, path]);
    done.add(path);
  };
  for (const path of imported.keys()) visit(path, []);
  return found;
};

/** The part of the architecture's page under a heading. */
const sectionOf = (heading: string): string => {
  const page = text("docs/architecture.md");
  return page.split(/^## /m).find((section) => section.startsWith(`${heading}\n`)) ?? "";
};

/** Tests and what only tests use may look anywhere. */
const isTest = (path: string): boolean => /\.test\.ts$|\/testing\//.test(path);

describe("imports", () => {
  const own = files.filter((path) => path.startsWith(rooms) && /\.(ts|mjs)$/.test(path) && !isTest(path));

  test("every room is known", () => {
    const unknown = own.map(roomOf).filter((room) => !surface.has(room) && !(room in mayImport));
    expect(unknown).toEqual([]);
  });

  test("go to the right only", () => {
    const wrong = own.flatMap((path) => imports(path).flatMap((module) => wrongImport(path, module) ?? []));
    expect(wrong).toEqual([]);
  });

  test("a wrong one is noticed", () => {
    const from = (room: string): string => join(rooms, room, "some.ts");
    expect(wrongImport(from("train"), "../decode/generate.ts")).toContain(
      "train stands to the right of decode",
    );
    expect(wrongImport(from("decode"), "../train/trainer.ts")).toContain(
      "decode stands to the right of train",
    );
    expect(wrongImport(from("core"), "../index.ts")).toContain("index.ts");
    expect(wrongImport(from("model"), "../../../torch/src/native.ts")).toContain("by their names");
    expect(wrongImport(from("recipe"), "../data/load.ts")).toBeUndefined();
  });

  test("go in no circle", () => {
    const sources = files.filter((path) => /^(packages|bench)\/.*\.(ts|mjs)$/.test(path));
    // Generated operators are the tensor's methods, and take tensors: those two are one thing in two files.
    const named = new Map(
      sources.map((path) => [
        path,
        imports(path)
          .filter((module) => module.startsWith("."))
          .map((module) => join(dirname(path), module)),
      ]),
    );
    expect(circles(named)).toEqual([]);
  });

  test("a circle is noticed", () => {
    const named = (edges: Record<string, string[]>) => new Map(Object.entries(edges));
    expect(circles(named({ a: ["b"], b: ["c", "d"], c: [], d: ["c"] }))).toEqual([]);
    expect(circles(named({ a: ["b"], b: ["c"], c: ["b"] }))).toEqual(["b -> c -> b"]);
  });

  test("the engine knows nothing of language models", () => {
    const engine = files.filter((path) => path.startsWith("packages/torch/") && path.endsWith(".ts"));
    expect(
      engine.filter((path) => imports(path).some((module) => /mahalo\/src|^mahalo$/.test(module))),
    ).toEqual([]);
  });

  test("the verifier of mathematics knows nothing but itself", () => {
    const verifier = files.filter((path) => /^packages\/math-verify\/.*\.ts$/.test(path) && !isTest(path));
    expect(verifier.length).toBeGreaterThan(10);
    expect(verifier.flatMap(imports).filter((module) => !module.startsWith("./"))).toEqual([]);
  });
});

describe("the page of the architecture", () => {
  const section = sectionOf("Rooms");

  test("lists the rooms that there are", () => {
    const block = section.split("packages/mahalo/src/\n")[1]?.split("\n```")[0] ?? "";
    const listed = [...block.matchAll(/^ {2}([\w.-]+)\/? {2,}\S/gm)].map(([, name]) => name);
    const there = new Set(
      files.filter((path) => path.startsWith(`${rooms}/`)).map((path) => relative(rooms, path).split("/")[0]),
    );
    expect(listed.toSorted()).toEqual([...there].toSorted());
  });

  test("says which room imports which, as is checked here", () => {
    const listed = /^`(cli → .*) → @mahalo\/torch`/m.exec(section)?.[1]?.split(/ → |, /) ?? [];
    expect(listed).toEqual(order);
  });

  test("names files that there are", () => {
    const page = text("docs/architecture.md");
    const named = [
      ...page.matchAll(
        /`((?:core|data|model|train|decode|endpoint|scoring|judges|search|rollout|evaluate|recipe|cli)\/[\w/.-]+)`/g,
      ),
    ];
    const missing = named.flatMap(([, path = ""]) => (existsSync(join(root, rooms, path)) ? [] : [path]));
    expect(named.length).toBeGreaterThan(3);
    expect(missing).toEqual([]);
  });
});

test("what only tests use lies in a folder named testing", () => {
  const sources = files.filter((path) => /^packages\/[^/]+\/src\/.*\.(ts|mjs)$/.test(path) && !isTest(path));
  const byName = /"(\.\.?\/[^"]+\.m?ts|\.\.?\/[^"]+\.mjs)"/g;
  const used = [...files, "packages/torch/src/ops.generated.ts"]
    .filter((path) => /\.(ts|mjs)$/.test(path) && !isTest(path) && !path.startsWith("test/"))
    .flatMap((path) => {
      const named = [...text(path).matchAll(byName)].flatMap(([, module = ""]) => module);
      return [...imports(path), ...named].map((module) => join(dirname(path), module));
    });
  const unused = sources.filter(
    (path) => !/\/src\/(index\.ts$|exports\/)/.test(path) && !used.includes(path),
  );
  expect(unused).toEqual([]);
});

describe("tests", () => {
  const tests = files.filter((path) => path.endsWith(".test.ts"));

  test("have a working folder of their own, which no run has written to", () => {
    expect(process.cwd()).not.toBe(root.replace(/\/$/, ""));
    expect(readdirSync(".")).toEqual([]);
    expect(tests.filter((path) => /\b(root|ROOT), "runs"|\.\.\/runs\b/.test(text(path)))).toEqual([]);
  });

  test("wait for a result, not for a clock", () => {
    const clocks =
      /\b(performance|Date)\.now\(\)( -|;)|\bvi\.waitFor\(|^ *\}, \d[\d_]{2,}\);$|\b(spawn|exec)\w*\([^;]*\btimeout:/m;
    expect(tests.filter((path) => clocks.test(text(path)))).toEqual([]);
  });
});

describe("defaults", () => {
  /** Behind an index, or an element counted from the end: a value in place of what must be there. */
  const behindIndex =
    /(?:\]|\.at\([^()]*\))(?:(?:\?\.[\w.]+)?\s+\?\?\s+(?:0\b|(?:Number\.)?NaN\b)|\s+\?\?\s+(?:""|``|\[\]|\{\}|new \w+\(\)))/g;
  /** Where they are meant, by file; each has a comment on the line above that begins with "Default:" and says why. */
  const meant = ["packages/mahalo/src/search/paths.ts", "packages/mahalo/src/recipe/counts.ts"];

  /** Numbers of the lines with such a default, but for what a regular expression's group may leave out. */
  const defaultsIn = (source: string, allowed: boolean): number[] => {
    const lines = source.split("\n");
    return [...source.matchAll(behindIndex)].flatMap(({ index }) => {
      const number = source.slice(0, index).split("\n").length;
      const [above = "", line = ""] = [lines[number - 2], lines[number - 1]];
      return /\.exec\(/.test(line) || (allowed && above.trim().startsWith("// Default: ")) ? [] : [number];
    });
  };

  test("stand in for nothing that must be there: core/need.ts throws", () => {
    const sources = files.filter((path) => /^packages\/\w+\/src\//.test(path) && !isTest(path));
    const found = sources.flatMap((path) =>
      defaultsIn(text(path), meant.includes(path)).map((line) => `${path}:${line}`),
    );
    expect(found).toEqual([]);
  });

  test("are noticed", () => {
    for (const wrong of [
      "a[i] ?? 0",
      "a[i]?.b ?? 0",
      'a[i] ?? ""',
      "a.at(-1) ?? []",
      "a[i]\n  ?? Number.NaN",
    ])
      expect(defaultsIn(`const x = ${wrong};`, false), wrong).toHaveLength(1);
    for (const fine of ["a[i] ?? b", "counts.get(key) ?? 0", '/a(b)?/.exec(c)?.[1] ?? ""'])
      expect(defaultsIn(`const x = ${fine};`, false), fine).toEqual([]);
    expect(defaultsIn("// Default: why\nconst x = a[i] ?? 0;", true)).toEqual([]);
    expect(defaultsIn("const x = a[i] ?? 0;", true)).toEqual([1]);
  });
});

describe("names of what can be added", () => {
  type Family = { names: readonly string[]; words: RegExp; home: string };
  /** Each sort with its names, the words that what is compared with them goes by, and where its names are at home. */
  const families: Readonly<Record<string, Family>> = {
    method: { names: alignMethods.names, words: /method/i, home: "train/methods/" },
    loss: { names: pairLosses.names, words: /loss/i, home: "train/losses.ts" },
    "head kind": { names: headKinds.names, words: /kind|head/i, home: "model/reward/head-kinds/" },
    judge: { names: judgeKinds.names, words: /kind|judge/i, home: "judges/" },
    strategy: { names: strategies.names, words: /strategy|search/i, home: "search/strategies/" },
    choice: { names: choices.names, words: /choice|choose/i, home: "search/strategies/" },
  };

  const stringIn = (node: ts.Node): string | undefined =>
    ts.isStringLiteralLike(node) ? node.text : undefined;

  /** What a name is compared with, where the node compares: by an operator, a case of a switch, or a list of names. */
  const comparison = (node: ts.Node): { name: string; other: string } | undefined => {
    const textOf = (other: ts.Node): string => other.getText();
    if (ts.isBinaryExpression(node) && /^[!=]==?$/.test(node.operatorToken.getText())) {
      const [left, right] = [stringIn(node.left), stringIn(node.right)];
      if (right !== undefined) return { name: right, other: textOf(node.left) };
      return left === undefined ? undefined : { name: left, other: textOf(node.right) };
    }
    if (!ts.isCaseClause(node)) return undefined;
    const name = stringIn(node.expression);
    return name === undefined ? undefined : { name, other: textOf(node.parent.parent.expression) };
  };

  /** Tests of such names in a source outside their home, each with its line. */
  const testsIn = (path: string, source: string): string[] => {
    const file = ts.createSourceFile(path, source, ts.ScriptTarget.Latest, true);
    const found: string[] = [];
    const visit = (node: ts.Node): void => {
      const compared = comparison(node);
      const listed = ts.isArrayLiteralExpression(node) ? node.elements.map(stringIn) : [];
      for (const [family, { names, words, home }] of Object.entries(families)) {
        if (path.startsWith(join(rooms, home))) continue;
        // A name of two words is nothing else; of a common word what it is compared with must tell.
        const isTest =
          compared !== undefined &&
          names.includes(compared.name) &&
          (compared.name.includes("-") || (words.test(compared.other) && !/^typeof /.test(compared.other)));
        const isList =
          listed.length > 1 && listed.every((name) => name !== undefined && names.includes(name));
        if (!isTest && !isList) continue;
        const { line } = file.getLineAndCharacterOfPosition(node.getStart());
        found.push(`${path}:${line + 1}: ${family}: ${node.getText().split("\n")[0]}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
    return found;
  };

  test("are tested nowhere but in their registries: what differs, each says itself", () => {
    const sources = files.filter((path) => path.startsWith(rooms) && path.endsWith(".ts") && !isTest(path));
    expect(sources.flatMap((path) => testsIn(path, text(path)))).toEqual([]);
  });

  test("are noticed", () => {
    const there = join(rooms, "recipe/some.ts");
    for (const wrong of [
      'align.method === "dpo"',
      '"mah-dpo" !== name',
      'kind === "soft"',
      'head.kind !== "value"',
      '(search?.strategy ?? "step") === "step"',
      '["rule", "chat"].includes(judge.kind)',
      'loss == "ipo"',
      'switch (method) { case "soup": break; }',
      'choose === "majority"',
    ])
      expect(testsIn(there, wrong), wrong).not.toEqual([]);
    for (const fine of [
      'typeof judge === "function"',
      'event.type === "step"',
      'role === "model"',
      'alignMethods.get(name).heads === "each"',
      'kind === "Model"',
      'const text = "best-of-n"',
    ])
      expect(testsIn(there, fine), fine).toEqual([]);
    const home = join(rooms, "judges/registry.ts");
    expect(testsIn(home, 'kind === "rule"')).toEqual([]);
    expect(testsIn(home, 'strategy === "beam"')).toHaveLength(1);
  });
});

describe("files", () => {
  test(`have at most ${longest} lines`, () => {
    const long = files.flatMap((path) => {
      const lines = text(path).trimEnd().split("\n").length;
      return lines > longest ? [`${path}: ${lines} lines`] : [];
    });
    expect(long).toEqual([]);
  });

  test("begin with what they are for", () => {
    const silent = files
      .filter((path) => /\.(ts|mjs)$/.test(path))
      .filter((path) => !/^(#!.*\n)?\/\*\*/.test(text(path)));
    expect(silent).toEqual([]);
  });

  test("export by name only", () => {
    const defaults = files
      .filter((path) => /\.(ts|mjs)$/.test(path) && path !== "vitest.config.ts")
      .filter((path) => /^export default\b|^export \{[^}]*\bas default\b/m.test(text(path)));
    expect(defaults).toEqual([]);
  });
});
