/** mahalo chat: replies on standard output, notes on standard error, and Ctrl-C. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import { visible } from "../core/visible.ts";
import { tinyFolder } from "../model/testing/tiny.ts";
import { keyboard, layOutModel, type Ran, type RunOptions, run, typed } from "./testing/run.ts";

let folder = "";
let model = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-chat-"));
  model = await layOutModel(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const chat = (words: readonly string[], options: RunOptions): Promise<Ran> =>
  run(["chat", model, "--max-new-tokens", "8", "--precision", "f32", ...words], options);

const replySchema = z.strictObject({ response: z.string(), finish: z.string(), tokens: z.int().positive() });
/** The replies to lines, read from --json. */
const replies = async (lines: readonly string[], ...words: string[]): Promise<string[]> => {
  const { status, out, err } = await chat(["--json", ...words], { input: typed(...lines) });
  expect({ status, err }).toEqual({ status: 0, err: "" });
  return out
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => parseJson(line, replySchema, "standard output").response);
};

describe("a chat", () => {
  test("answers line after line, and ends with its input", async () => {
    const [first, second] = await replies(["hello", "", "  ", "again"]);
    expect(await chat([], { input: typed("hello", "again") })).toEqual({
      status: 0,
      out: visible(`${first}\n${second}\n`),
      err: "mix: accuracy=0.5,engagement=0.5; /help lists what can be typed\n",
    });
  });

  test("remembers what was said until /reset", async () => {
    const [alone] = await replies(["again"]);
    const [, remembered] = await replies(["hello", "again"]);
    expect(remembered).not.toBe(alone);
    expect(await replies(["hello", "/reset", "again"])).toEqual([(await replies(["hello"]))[0], alone]);
  });

  test("takes another mix from the next reply on", async () => {
    const [accurate] = await replies(["hello"], "--mix", "accuracy=1");
    const [engaging] = await replies(["hello"], "--mix", "engagement=1");
    expect(accurate).not.toBe(engaging);
    const lines = ["hello", "/reset", "/mix engagement=1", "hello"];
    expect(await replies(lines, "--mix", "accuracy=1")).toEqual([accurate, engaging]);
    const { out, err } = await chat([], { input: typed("/mix accuracy=3,engagement=1", "/mix") });
    expect(out).toBe("");
    expect(err.split("\n").slice(1)).toEqual([
      "mix: accuracy=0.75,engagement=0.25",
      "mix: accuracy=0.75,engagement=0.25",
      "",
    ]);
  });

  test("says what is missing where a position or target has nothing to go by, and keeps its mix", async () => {
    const { status, err } = await chat(["--mix", "accuracy=1"], {
      input: typed("/at 0.5", "/target accuracy>=0.5", "/mix"),
    });
    expect(status).toBe(0);
    expect(err.match(/nothing was measured of this model/g)).toHaveLength(2);
    expect(err).toContain("mix: accuracy=1,engagement=0\n");
  });

  test("goes on after a mix that is wrong, under the mix that it had", async () => {
    const expected = await replies(["hello"], "--mix", "accuracy=1");
    const lines = ["/mix acuracy=1", "/mix engagement", "/mix engagement=-1", "hello"];
    const { status, out, err } = await chat(["--mix", "accuracy=1", "--quiet"], { input: typed(...lines) });
    expect({ status, out }).toEqual({ status: 0, out: visible(`${expected[0]}\n`) });
    expect(err.trimEnd().split("\n")).toEqual([
      expect.stringContaining('did you mean "accuracy"?'),
      expect.stringContaining("E_MIX_SYNTAX"),
      expect.stringContaining("E_MIX_WEIGHT"),
    ]);
  });

  test("does not begin under a mix that is wrong", async () => {
    const { status, err } = await chat(["--mix", "acuracy=1"], { input: typed("hello") });
    expect(status).toBe(2);
    expect(err).toContain('did you mean "accuracy"?');
  });

  test("lists what can be typed for /help and for what it does not know", async () => {
    for (const line of ["/help", "/mxi"]) {
      const { out, err } = await chat([], { input: typed(line) });
      expect(out).toBe("");
      for (const name of ["/mix", "/reset", "/quit"]) expect(err).toContain(`\n${name}`);
    }
  });

  test("ends at /quit, whatever follows", async () => {
    expect(await replies(["hello", "/quit", "again"])).toEqual(await replies(["hello"]));
  });

  test("goes on after a line that does not fit into the model's context", async () => {
    const long = "many words ".repeat(300);
    const { status, out, err } = await chat(["--quiet"], { input: typed(long, "hello") });
    expect(status).toBe(0);
    expect(err).toContain("E_GENERATE_CONTEXT");
    expect(out).toBe(`${(await replies(["hello"]))[0]}\n`);
  });

  test("with a seed is repeatable, and answers a question asked twice in two ways", async () => {
    const sampled = ["--temperature", "1.5", "--seed", "3"];
    const first = await replies(["hello", "hello"], ...sampled);
    expect(await replies(["hello", "hello"], ...sampled)).toEqual(first);
    expect(first[0]).not.toBe(first[1]);
    expect(await replies(["hello", "hello"], "--temperature", "1.5", "--seed", "4")).not.toEqual(first);
  });

  test("with a model without objectives says that there is nothing to mix", async () => {
    const words = ["chat", tinyFolder("tiny-llama"), "--max-new-tokens", "4", "--precision", "f32"];
    const { status, err } = await run(words, { input: typed("hello", "/mix", "/mix accuracy=1") });
    expect(status).toBe(0);
    expect(err.split("\n").slice(1)).toEqual([
      "the model has no objectives, so there is nothing to mix",
      expect.stringContaining("the model has none"),
      "",
    ]);
  });
});

describe("Ctrl-C", () => {
  /** Long answers, so that there is something to interrupt. */
  const long = ["--max-new-tokens", "400"];

  test("without a terminal ends the chat, while it answers or waits, with status 130", async () => {
    for (const during of ["reply", "wait"] as const) {
      const controller = new AbortController();
      const input = keyboard();
      if (during === "reply") input.from.write("hello\n");
      else setTimeout(() => controller.abort(), 100);
      const onOut = (): void => controller.abort();
      const { status, err } = await chat([...long, "--quiet"], { input, signal: controller.signal, onOut });
      expect({ status, err }).toEqual({ status: 130, err: expect.stringContaining("E_INTERRUPTED") });
    }
  });

  test("on a terminal ends the reply first, which is forgotten, and then the chat", async () => {
    const input = keyboard({ terminal: true });
    let replies = 0;
    let told = false;
    const onOut = (text: string): void => {
      if (told) {
        // The second reply has ended; the key comes once the chat waits again, not inside this very call.
        if (text === "\n") setImmediate(() => input.from.write("\u0003"));
        return;
      }
      replies += 1;
      if (replies !== 3) return;
      told = true;
      input.from.write("\u0003");
      input.from.write("/mix\r");
      input.from.write("hello\r");
    };
    input.from.write("again\r");
    const { status, out, err } = await chat(["--max-new-tokens", "60"], { input, onOut });
    expect(status).toBe(0);
    expect(err).toContain("the reply was stopped, and its turn was dropped\nmix: ");
    const whole = await chat(["--max-new-tokens", "60", "--quiet"], { input: typed("hello") });
    expect(out.endsWith(whole.out)).toBe(true);
    expect(out.length).toBeGreaterThan(whole.out.length);
    expect(input.echoed()).toContain("> ");
  });
});
