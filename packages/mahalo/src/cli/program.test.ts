/** The command line: what its words do, what it prints, and the status it ends with. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import { type CommandFile, command, outputOf, Unmet } from "./command.ts";
import { commands } from "./commands.ts";
import { run } from "./testing/run.ts";

/** A command that fails in the way its argument names. */
const failing: CommandFile = (io) =>
  command({ name: "fail", summary: "Fail.", examples: [["mahalo fail ours", "an error of the family"]] })
    .argument("<how>")
    .action((how: string, options: { json?: boolean }) => {
      if (how === "ours")
        throw new MahaloError("E_ROW_EMPTY", "values.jsonl:118: row has no response token left", {
          hint: "raise data.maxTokens",
        });
      if (how === "interrupted") throw new MahaloError("E_INTERRUPTED", "interrupted", { exitStatus: 1 });
      if (how === "steering") {
        outputOf(io, options).note("a note \x1b[2J");
        outputOf(io, options).result({ how: "\x9b2J" }, () => "a result \x1b]0;title\x07\n");
        throw new MahaloError("E_TEMPLATE_REFUSED", "it says \x1b[31mred\x1b[0m\r", { hint: "\x7f" });
      }
      if (how === "bug") throw new TypeError("no such thing");
      outputOf(io, options).result({ how }, () => `${how}\n`);
      if (how === "unmet") throw new Unmet();
    });

describe("text of models, rows and files", () => {
  test("cannot steer the terminal, in results, notes and errors, as JSON or not", async () => {
    const plain = await run(["fail", "steering"], { files: [failing] });
    expect(plain.out).toBe("a result \\u001b]0;title\\u0007\n");
    expect(plain.err).toContain("a note \\u001b[2J\n");
    expect(plain.err).toContain("it says \\u001b[31mred\\u001b[0m\\u000d; \\u007f");
    const json = await run(["fail", "steering", "--json"], { files: [failing] });
    expect(JSON.parse(json.out)).toEqual({ how: "\x9b2J" });
    for (const text of [plain.out, plain.err, json.out, json.err]) expect(text).not.toMatch(/(?!\n)\p{Cc}/u);
  });
});

describe("help", () => {
  test("lists every command, and each has examples of its own", async () => {
    const { status, out } = await run(["--help"]);
    expect(status).toBe(0);
    for (const file of commands.items) {
      const { io } = {
        io: {
          out: () => undefined,
          err: () => undefined,
          signal: new AbortController().signal,
          colour: false,
        },
      };
      const name = file(io).name();
      expect(out).toContain(`  ${name}`);
      const help = await run([name, "--help"]);
      expect(help.status).toBe(0);
      expect(help.out).toMatch(new RegExp(`Examples:\\n +\\$ mahalo ${name}`));
      expect(help.out).toContain("--json");
    }
  });
  test("is what a bare call shows, with what each exit status means", async () => {
    const { out } = await run([]);
    expect(out).toContain("Usage: mahalo");
    expect(out).toMatch(/Exit status:\n {2}0 .*\n {2}1 .*\n {2}2 .*\n {2}3 .*\n {2}130 /);
    expect(out).toBe((await run(["--help"])).out);
  });
  test("has the version of the package", async () => {
    const { version } = parseJson(
      await readFile(new URL("../../package.json", import.meta.url), "utf8"),
      z.looseObject({ version: z.string() }),
      "package.json",
    );
    expect((await run(["--version"])).out).toBe(`${version}\n`);
  });
});

describe("errors are one line with a code, and an exit status", () => {
  test("2 for what the caller can mend", async () => {
    expect(await run(["rnu"])).toEqual({
      status: 2,
      out: "",
      err: 'mahalo: unknown command "rnu". Did you mean "run"?  (E_CLI_COMMAND)\n',
    });
    expect((await run(["run"])).err).toBe(
      "mahalo: missing required argument 'recipe'; see --help  (E_CLI_USAGE)\n",
    );
    expect((await run(["plan", "a", "--sett", "b"])).err).toContain("Did you mean --set?");
    expect(await run(["fail", "ours"], { files: [failing] })).toEqual({
      status: 2,
      out: "",
      err: "mahalo: values.jsonl:118: row has no response token left; raise data.maxTokens  (E_ROW_EMPTY)\n",
    });
  });
  test("1 for a mistake of ours, with its stack", async () => {
    const { status, err } = await run(["fail", "bug"], { files: [failing] });
    expect(status).toBe(1);
    expect(err).toContain("TypeError: no such thing");
  });
  test("130 after Ctrl-C", async () =>
    expect((await run(["fail", "interrupted"], { files: [failing] })).status).toBe(130));
  test("3, and no word beside the result, where what was asked for is not to be had", async () =>
    expect(await run(["fail", "unmet"], { files: [failing] })).toEqual({
      status: 3,
      out: "unmet\n",
      err: "",
    }));
  test("as JSON under --json", async () => {
    const { err } = await run(["fail", "ours", "--json"], { files: [failing] });
    expect(JSON.parse(err)).toEqual({
      error: {
        code: "E_ROW_EMPTY",
        message: "values.jsonl:118: row has no response token left",
        hint: "raise data.maxTokens",
      },
    });
  });
});

test("a result is JSON under --json and text otherwise", async () => {
  expect((await run(["fail", "well"], { files: [failing] })).out).toBe("well\n");
  expect(JSON.parse((await run(["fail", "well", "--json"], { files: [failing] })).out)).toEqual({
    how: "well",
  });
});

test("schema prints a JSON schema", async () => {
  expect(JSON.parse((await run(["schema"])).out)).toMatchObject({ title: "mahalo recipe" });
});

describe("recipes", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mahalo-cli-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("with a mistake are named with line and field", async () => {
    const file = join(folder, "recipe.yaml");
    await writeFile(file, "name: a\nmodel: m\nobjectives: {}\nalign:\n  betta: 1\n");
    const { status, err } = await run(["plan", file]);
    expect(status).toBe(2);
    expect(err).toContain(`${file}:5: align.betta: unknown key "betta". Did you mean "beta"?`);
    expect(err).toContain(`${file}:3: objectives: needs at least one objective`);
  });
});
