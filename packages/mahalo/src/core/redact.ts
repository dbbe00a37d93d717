/** Takes secrets out of texts: whatever a server says back may hold the key that it was sent. */

/** Letters of a secret from which its encoded forms are looked for. */
const shortest = 6;

/** The part of a secret's base64 that is the same whatever stands before and behind it, for one place of its first byte. */
const innerBase64 = (secret: string, before: number, encoding: "base64" | "base64url"): string => {
  const text = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)])
    .toString(encoding)
    .replace(/=+$/, "");
  const bytes = before + Buffer.byteLength(secret);
  // The first letters hold bits of what stands before, the last one bits of what stands behind.
  return text.slice(before === 0 ? 0 : before + 1, bytes % 3 === 0 ? undefined : -1);
};

/** How a secret may be written: plain, escaped for JSON or an address, or in base64 and hexadecimal letters. */
const formsOf = (secret: string): string[] => {
  const json = JSON.stringify(secret).slice(1, -1);
  const twice = JSON.stringify(json).slice(1, -1);
  const plain = [secret, json, twice, json.replaceAll("/", "\\/"), encodeURIComponent(secret)];
  // Encoded forms of a few letters would be found in texts that hold no secret.
  if (secret.length < shortest) return plain;
  const codes = [...secret].map(
    (letter) => `\\u${(letter.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
  const encoded = [0, 1, 2].flatMap((before) => [
    innerBase64(secret, before, "base64"),
    innerBase64(secret, before, "base64url"),
  ]);
  return [...plain, codes.join(""), Buffer.from(secret).toString("hex"), ...encoded];
};

/** Takes secrets out of a text. */
export type Redact = (text: string) => string;

/**
 * A function that puts `instead` in the place of a secret, in whatever form and case it stands.
 *
 * @param secret undefined or "" where there is none: texts stay as they are.
 */
export function redactor(secret: string | undefined, instead: string): Redact {
  if (!secret) return (text) => text;
  const forms = [...new Set(formsOf(secret))].sort((a, b) => b.length - a.length);
  const escaped = forms.map((form) => form.replaceAll(/[.*+?^${}()|[\]\\/-]/g, "\\$&"));
  const pattern = new RegExp(escaped.join("|"), "gi");
  return (text) => text.replaceAll(pattern, instead);
}

/** A value of JSON with every text in it, keys too, put through `redact`. */
export function redactValue(value: unknown, redact: Redact): unknown {
  if (typeof value === "string") return redact(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => redactValue(item, redact));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [redact(key), redactValue(item, redact)]),
  );
}
