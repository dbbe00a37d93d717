/** Any error is one coded line, whatever threw it and wherever; its stack is shown only where it is asked for. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { explainFailure } from "./failure.mjs";

const run = (code: string, debug = "") => {
  const script = `
    const { endOnFailure } = await import(${JSON.stringify(new URL("./failure.mjs", import.meta.url).href)});
    endOnFailure("mahalo");
    ${code}`;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    env: { ...process.env, MAHALO_DEBUG: debug },
  });
  return { status, stderr };
};

test.each([
  ["thrown", 'throw new TypeError("no such thing");'],
  ["thrown later", 'setTimeout(() => { throw new TypeError("no such thing"); });'],
  ["a promise that nobody waits for", 'Promise.reject(new TypeError("no such thing"));'],
  [
    "in a worker thread",
    `
    const { Worker } = await import("node:worker_threads");
    new Worker('throw new TypeError("no such thing")', { eval: true });`,
  ],
])("a mistake of ours is one line: %s", (_, code) => {
  const { status, stderr } = run(code);
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /^mahalo: unexpected error: TypeError: no such thing; this is a bug in mahalo: .*MAHALO_DEBUG=1.* {2}\(E_INTERNAL\)\n$/,
  );
});

test("endless recursion and what is no error are one line too", () => {
  expect(run("const f = () => f(); f();").stderr).toMatch(/^mahalo: unexpected error: RangeError: .*\n$/);
  expect(run('throw "words";').stderr).toMatch(/^mahalo: unexpected error: words; .*\n$/);
});

test("the stack is shown where it is asked for", () => {
  const { stderr } = run('throw new Error("a", { cause: new Error("b") });', "1");
  expect(stderr).toContain("(E_INTERNAL)\nError: a\n    at ");
  expect(stderr).toContain("Error: b\n    at ");
  expect(run('throw new Error("a");', "0").stderr).not.toContain("    at ");
});

test("what the system refused is told in its words, with what to do", () => {
  const refused = Object.assign(new Error("EMFILE: too many open files, open 'a'"), {
    code: "EMFILE",
    syscall: "open",
  });
  expect(explainFailure(refused)).toEqual({
    code: "E_SYSTEM",
    message: "EMFILE: too many open files, open 'a'",
    hint: "raise the limit on open files (ulimit -n 1024)",
    status: 1,
  });
});
