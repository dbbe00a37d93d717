/** HTML and SVG text in which every inserted value is escaped unless it is markup already. */
import { need } from "../../core/need.ts";

const entities: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text safe inside elements and quoted attributes; control characters, which XML forbids, are left out. */
export const escapeText = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these may not stand in XML
    .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "")
    .replaceAll(/[&<>"']/g, (character) => need(entities[character], `the entity of ${character}`));

/** Text that is markup already; only {@link markup} makes it. */
export class Markup {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** What may stand in a template: text and numbers are escaped, markup stays, lists are joined, false and undefined vanish. */
export type Insert = string | number | Markup | false | undefined | readonly Insert[];

const render = (insert: Insert): string => {
  if (insert instanceof Markup) {
    return insert.toString();
  }
  if (Array.isArray(insert)) {
    return insert.map(render).join("");
  }
  return insert === false || insert === undefined ? "" : escapeText(String(insert));
};

/**
 * A template of HTML or SVG.
 *
 * @example markup`<b>${"1 < 2"}</b>`.toString() // "<b>1 &lt; 2</b>"
 */
export const markup = (parts: TemplateStringsArray, ...inserts: readonly Insert[]): Markup =>
  new Markup(parts.reduce((text, part, index) => text + render(inserts[index - 1]) + part, ""));

/** A label of several parts, for example a mix's, that may break behind its commas. */
export const breakable = (label: string): Insert[] =>
  label.split(",").map((part, index): Insert => (index === 0 ? part : markup`,<wbr>${part}`));
