/** Reads a reply's body up to a size, so that an endpoint without end cannot fill the memory. */

/** What {@link readBody} gives for a body that is too large. */
export const tooLarge: unique symbol = Symbol("too large");

/**
 * The body of a response as text (UTF-8).
 *
 * @param limit most bytes, after decompression; the connection of a body with more is given up.
 * @throws what the connection throws
 */
export const readBody = async (response: Response, limit: number): Promise<string | typeof tooLarge> => {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  const pieces: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > limit) {
      await reader.cancel().catch(() => {
        // The connection is gone already.
      });
      return tooLarge;
    }
    pieces.push(value);
  }
  return Buffer.concat(pieces).toString("utf8");
};

/** Gives up a response whose body is not wanted, so that its connection is free again. */
export const dropBody = async (response: Response): Promise<void> => {
  await response.body?.cancel().catch(() => {
    // The connection is gone already.
  });
};
