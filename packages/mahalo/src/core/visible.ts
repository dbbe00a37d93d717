/** Makes control characters of foreign text visible, so that no model, row or file can steer a terminal. */

/** All control characters but line feeds and tabs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are to be found
const steering = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/**
 * The text with control characters written as their code (`\u001b`), in the way in which JSON writes them, so that JSON
 * stays what it was. Line feeds and tabs stay.
 *
 * @example visible("\x1b[2Jgone") // "\\u001b[2Jgone"
 */
export function visible(text: string): string {
  return text.replace(steering, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
