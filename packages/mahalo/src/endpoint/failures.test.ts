/** Tests of what failures mean: waits, statuses, and what servers say. */
import { describe, expect, test } from "vitest";
import { PassingFailure } from "../core/retry.ts";
import { errorText, networkReason, retryAfter, statusFailure } from "./failures.ts";

/** Takes nothing out of a text. */
const same = (text: string): string => text;

describe("Retry-After", () => {
  const now = Date.parse("2026-01-02T03:04:05Z");

  test.each([
    ["3", 3],
    [" 0 ", 0],
    ["1.5", 1.5],
    ["Fri, 02 Jan 2026 03:04:15 GMT", 10],
    ["Fri, 02 Jan 2026 03:00:00 GMT", 0],
    ["soon", undefined],
    ["-1", undefined],
    ["1e9", undefined],
    ["2026", 2026],
    ["", undefined],
    [null, undefined],
  ])("%j asks for %j seconds", (header, seconds) => {
    expect(retryAfter(header, now)).toBe(seconds);
  });
});

describe("statuses", () => {
  const none = { retryAfter: undefined, location: null };

  test.each([408, 409, 425, 429, 500, 502, 503, 504, 529])("%i may pass", (status) => {
    expect(statusFailure("u", status, "", { ...none, retryAfter: 2 }, same)).toMatchObject({ retryAfter: 2 });
    expect(statusFailure("u", status, "", none, same)).toBeInstanceOf(PassingFailure);
  });

  test.each([
    [301, "E_ENDPOINT_MOVED"],
    [400, "E_ENDPOINT_REFUSED"],
    [401, "E_ENDPOINT_DENIED"],
    [403, "E_ENDPOINT_DENIED"],
    [404, "E_ENDPOINT_NOT_FOUND"],
    [422, "E_ENDPOINT_REFUSED"],
  ])("%i does not", (status, code) => {
    expect(statusFailure("http://u", status, "", none, same)).toMatchObject({ code });
    expect(statusFailure("http://u", status, "", none, same).message).toContain(`http://u: `);
  });
});

test.each([
  ['{"error":{"message":"too\\nlong","type":"x"}}', "too long"],
  ['{"error":"no"}', "no"],
  ['{"message":"m"}', "m"],
  ['{"detail":"d"}', "d"],
  ['{"choices":[]}', ""],
  ["<html>busy</html>", ""],
  ["plain \u001b[31mred", "plain [31mred"],
  ["", ""],
  ["x".repeat(500), `${"x".repeat(297)}...`],
])("what %j says", (body, said) => {
  expect(errorText(body, same)).toBe(said);
});

test("a network failure's reason is the innermost one", () => {
  const refused = Object.assign(new Error(""), { code: "ECONNREFUSED" });
  expect(networkReason(new TypeError("fetch failed", { cause: refused }), same)).toBe("ECONNREFUSED");
  expect(networkReason(new TypeError("fetch failed", { cause: new Error("other side closed") }), same)).toBe(
    "other side closed",
  );
  expect(networkReason("odd", same)).toBe("odd");
});
