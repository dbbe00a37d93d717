/** The doors: who comes in, by the request's line and headers as they came. */
import { describe, expect, test } from "vitest";
import { doors, type Knock } from "./doors.ts";

const check = doors({ keys: ["first-key-1", "second-key-2"], hosts: ["127.0.0.1", "localhost", "[::1]"] });
const open = doors({ keys: [], hosts: ["127.0.0.1"] });
const knock = (more: Partial<Knock> = {}, headers: Knock["headers"] = {}): Knock => ({
  method: "GET",
  url: "/v1/models",
  ...more,
  headers: { host: "127.0.0.1:8321", authorization: "Bearer first-key-1", ...headers },
});
const codeOf = (made: Knock): string | null | undefined => check(made)?.code;

describe("keys", () => {
  test("either key opens, under either header", () => {
    expect(check(knock())).toBeUndefined();
    expect(check(knock({}, { authorization: "bearer second-key-2" }))).toBeUndefined();
    expect(check(knock({}, { authorization: undefined, "x-api-key": "second-key-2" }))).toBeUndefined();
  });

  test.each([
    ["none", { authorization: undefined }, "missing_api_key"],
    ["a wrong one", { authorization: "Bearer first-key-2" }, "invalid_api_key"],
    ["a part of one", { authorization: "Bearer first-key" }, "invalid_api_key"],
    ["one with more behind it", { authorization: "Bearer first-key-1x" }, "invalid_api_key"],
    ["another scheme", { authorization: "Basic first-key-1" }, "missing_api_key"],
    ["an empty one", { authorization: "Bearer " }, "missing_api_key"],
    [
      "a wrong one and a right one",
      { authorization: "Bearer nonsense", "x-api-key": "first-key-1" },
      "invalid_api_key",
    ],
  ])("%s does not", (_, headers, code) => {
    expect(codeOf(knock({}, headers))).toBe(code);
  });

  test.each(["/health?x=/v1/models", "/health"])("%s needs none", (url) => {
    expect(check(knock({ url }, { authorization: undefined }))).toBeUndefined();
  });

  test.each([
    "/health/",
    "/health/../v1/models",
    "//health",
    "/health%2f..",
    "/HEALTH",
    "/v1/models?/health",
    "http://127.0.0.1/health",
    "/ready",
    "/metrics",
    "/nowhere",
  ])("%s needs one", (url) => {
    expect(codeOf(knock({ url }, { authorization: undefined }))).toBe("missing_api_key");
  });
});

describe("hosts", () => {
  test.each(["127.0.0.1", "localhost:8321", "LOCALHOST", "[::1]:8321"])("%s is this server", (host) => {
    expect(check(knock({}, { host }))).toBeUndefined();
  });

  test.each([
    undefined,
    "",
    "evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1/health",
    "localhost:8321/health?",
    "localhost:",
    "a b",
    "localhost@evil",
    "127.0.0.1:999999",
  ])("%s is not", (host) => {
    expect(codeOf(knock({}, { host }))).toBe("host_not_allowed");
  });
});

describe("origins and bodies", () => {
  test("a page of this server may ask, others may not", () => {
    expect(open(knock({}, { origin: "http://127.0.0.1:8321" }))).toBeUndefined();
    for (const origin of ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1"])
      expect(open(knock({}, { origin }))?.code).toBe("origin_not_allowed");
  });

  test.each(["application/json", "application/json; charset=utf-8", "Application/JSON"])(
    "%s may be posted",
    (type) => {
      expect(open(knock({ method: "POST" }, { "content-type": type }))).toBeUndefined();
    },
  );

  test.each([
    undefined,
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/jsonp",
    "multipart/form-data",
  ])("%s may not", (type) => {
    expect(open(knock({ method: "POST" }, { "content-type": type }))?.status).toBe(415);
  });
});
