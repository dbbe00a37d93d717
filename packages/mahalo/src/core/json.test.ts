/** Checked JSON names file, line and field in its errors. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { writeFileAtomic } from "./files.ts";
import { canonicalJson, checkValue, parseJson, readJsonFile } from "./json.ts";

const errorOf = (run: () => unknown): MahaloError => {
  try {
    run();
  } catch (error) {
    if (error instanceof MahaloError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
};

const schema = z.strictObject({
  name: z.string().min(1),
  objectives: z
    .record(z.string(), z.strictObject({ pairs: z.strictObject({ path: z.string() }).optional() }))
    .default({}),
  loss: z.enum(["sigmoid", "ipo"]).default("sigmoid"),
  limits: z.array(z.int().positive()).max(2).optional(),
  train: z
    .union([z.enum(["full"]), z.strictObject({ lastLayers: z.int() }), z.strictObject({ lora: z.int() })])
    .optional(),
  judge: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("rule"), feature: z.string() }),
      z.strictObject({ kind: z.literal("sum") }),
    ])
    .optional(),
});

const messageOf = (value: unknown): string => errorOf(() => checkValue(value, schema, "recipe.json")).message;

describe("errors of checked values name the field", () => {
  test("a missing one", () => expect(messageOf({})).toBe("recipe.json: name: is missing; it must be text"));
  test("an unknown key, with the nearest known one", () =>
    expect(messageOf({ name: "a", objectives: { helpful: { pars: {} } } })).toBe(
      'recipe.json: objectives.helpful.pars: unknown key "pars". Did you mean "pairs"?',
    ));
  test("an unknown key inside an optional map", () =>
    expect(messageOf({ name: "a", objectives: { helpful: { pairs: { path: "x", pth: 1 } } } })).toContain(
      'objectives.helpful.pairs.pth: unknown key "pth". Did you mean "path"?',
    ));
  test("a wrong value, with the nearest allowed one", () =>
    expect(messageOf({ name: "a", loss: "sigmiod" })).toBe(
      'recipe.json: loss: must be one of sigmoid, ipo, not "sigmiod". Did you mean "sigmoid"?',
    ));
  test("a list's entry", () =>
    expect(messageOf({ name: "a", limits: [1, "2"] })).toBe(
      'recipe.json: limits[1]: must be a number, not "2"',
    ));
  test("sizes", () => {
    expect(messageOf({ name: "" })).toBe('recipe.json: name: must have at least 1 characters, not ""');
    expect(messageOf({ name: "a", limits: [0] })).toBe("recipe.json: limits[0]: must be above 0, not 0");
    expect(messageOf({ name: "a", limits: [1, 2, 3] })).toBe(
      "recipe.json: limits: must have at most 2 entries, not 3",
    );
  });
  test("the option of a union that the value is nearest to", () =>
    expect(messageOf({ name: "a", train: { lastLayer: 1 } })).toContain(
      'train.lastLayer: unknown key "lastLayer". Did you mean "lastLayers"?',
    ));
  test("what a union's forms want, where the value is of no form", () =>
    expect(messageOf({ name: "a", train: true })).toBe(
      "recipe.json: train: must be full, or { lastLayers: a whole number }, or { lora: a whole number }, not true",
    ));
  test("all forms of a union, where a map has no key of any", () =>
    expect(messageOf({ name: "a", train: { depth: 3 } })).toBe(
      'recipe.json: train: must be full, or { lastLayers: a whole number }, or { lora: a whole number }, not a map of "depth"',
    ));
  test("all forms of maps that a field tells apart, where the value is no map", () =>
    expect(messageOf({ name: "a", judge: "rule" })).toMatch(
      /^recipe\.json: judge: must be \{ kind: rule, .+ \}, or \{ kind: sum.* \}, not "rule"$/,
    ));
  test("the keys of the form that a map has chosen alone", () => {
    const said = messageOf({ name: "a", judge: { kind: "sum", feature: "x" } });
    expect(said).toMatch(/judge\.feature: unknown key "feature"\. Known: kind\.$/);
  });
  test("a discriminator that is unknown", () =>
    expect(messageOf({ name: "a", judge: { kind: "rul" } })).toBe(
      'recipe.json: judge.kind: must be one of rule, sum, not "rul". Did you mean "rule"?',
    ));
  test("a field of the option that the discriminator chose", () =>
    expect(messageOf({ name: "a", judge: { kind: "rule" } })).toBe(
      "recipe.json: judge.feature: is missing; it must be text",
    ));
  test("all of them at once, a line each", () =>
    expect(messageOf({ nam: 1, loss: 3 }).split("\n")).toHaveLength(3));
});

test("a syntax error names line and column", () => {
  expect(errorOf(() => parseJson('{\n "name": "a",\n]', schema, "a.json")).message).toMatch(
    /^a\.json:3: is not valid JSON \(column 1\)/,
  );
  expect(errorOf(() => parseJson("", schema, "rows.jsonl:7")).message).toBe("rows.jsonl:7: is empty");
  expect(errorOf(() => parseJson("{", schema, "rows.jsonl:7"))).toMatchObject({
    code: "E_JSON_SYNTAX",
    exitStatus: 2,
  });
});

test("a byte order mark is let pass", () =>
  expect(parseJson('\uFEFF{"name":"a"}', schema, "a.json").name).toBe("a"));

describe("files", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mahalo-json-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("are read and checked", async () => {
    const path = join(folder, "a.json");
    await writeFileAtomic(path, '{"name": "a"}');
    expect(await readJsonFile(path, schema)).toEqual({ name: "a", objectives: {}, loss: "sigmoid" });
  });
  test("that are missing are named", async () => {
    const path = join(folder, "none.json");
    await expect(readJsonFile(path, schema)).rejects.toMatchObject({
      code: "E_FILE_READ",
      message: `${path}: cannot read: there is no such file or folder`,
    });
  });
});

test("canonical JSON is one text for equal values, whatever the order of their keys", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const turned = Object.fromEntries(Object.entries(value).reverse());
      // -0 and 0 are one number in JSON.
      expect(canonicalJson(turned)).toBe(canonicalJson(value));
      expect(canonicalJson(JSON.parse(canonicalJson(value)))).toBe(canonicalJson(value));
    }),
  );
  expect(() => canonicalJson({ a: Number.NaN })).toThrow("JSON cannot hold NaN");
});

test("of two bounds that a number breaks, the tighter one is told", () => {
  const schema = z.strictObject({ seed: z.int().max(100).or(z.null()), list: z.array(z.int().min(5)) });
  const wrong = (value: unknown) => () => parseJson(JSON.stringify(value), schema, "a.json");
  expect(wrong({ seed: 1e17, list: [] })).toThrow(
    /^a\.json: seed: must be at most 100, not 1e\+?17|100000000000000000$/,
  );
  expect(wrong({ seed: 1, list: [-1e17] })).toThrow(
    /^a\.json: list\[0\]: must be at least 5, not -100000000000000000$/,
  );
});

test("a syntax error names one column, also where the text ends with a line feed", () => {
  const message = (text: string): unknown => {
    try {
      return parseJson(text, z.unknown(), "rows:1");
    } catch (error) {
      return error instanceof Error ? error.message : error;
    }
  };
  expect(message('{"prompt": "abc"\n')).toMatch(
    /^rows:1: is not valid JSON \(column 17\): Expected [^0-9]*$/,
  );
  expect(message('{"a":1,}')).toMatch(/\(column 8\): [^0-9]*$/);
  expect(message('{"a":\n 1,}\n')).toMatch(/^rows:1:2: .*\(column 4\): [^0-9]*$/);
});
