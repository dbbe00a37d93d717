/** A secret is taken out of a text in every form in which a server may say it back. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { redactor, redactValue } from "./redact.ts";

const secret = 'sk-pro/j+"42"\\end';
const redact = redactor(secret, "(key)");

test.each([
  ["plain", secret],
  ["in capitals", secret.toUpperCase()],
  ["in JSON", JSON.stringify({ error: secret })],
  ["in JSON in JSON", JSON.stringify(JSON.stringify(secret))],
  ["in JSON with slashes escaped", JSON.stringify(secret).replaceAll("/", "\\/")],
  ["in an address", `https://host.example/?key=${encodeURIComponent(secret)}`],
  ["as code points", [...secret].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")],
  ["in hexadecimal", Buffer.from(secret).toString("hex")],
])("%s", (_, text) => {
  const clean = redact(redact(text));
  expect(clean).toContain("(key)");
  expect(clean).not.toContain("pro");
});

test("in base64, wherever it begins and ends", () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.string(),
      fc.constantFrom("base64" as const, "base64url" as const),
      (a, b, form) => {
        const clean = redact(Buffer.from(`${a}${secret}${b}`).toString(form));
        expect(clean).toContain("(key)");
        expect(Buffer.from(clean.split("(key)").join(""), form).toString()).not.toContain(
          secret.slice(4, 12),
        );
      },
    ),
  );
});

test("a text without it stays as it is, and so does every text where there is no secret", () => {
  expect(redact("no key here: sk-other")).toBe("no key here: sk-other");
  expect(redactor(undefined, "(key)")("text")).toBe("text");
  expect(redactor("", "(key)")("text")).toBe("text");
});

test("in values: texts and keys at any depth", () => {
  const value = { a: [{ [secret]: `x ${secret}` }], n: 1, none: null };
  expect(redactValue(value, redact)).toEqual({ a: [{ "(key)": "x (key)" }], n: 1, none: null });
});
