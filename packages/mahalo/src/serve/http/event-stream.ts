/** Server-sent events: written as the client reads them, with pings in silence, and cut where nobody reads. */

/** Options of {@link eventStream}. */
export type EventStreamOptions = {
  /** Seconds of silence after which a comment is sent, so that nothing between takes the connection for dead. */
  pingEvery: number;
  /** Seconds after which a client that does not read is given up. */
  stalledAfter: number;
  /** Whether the response has its connection: one that waits behind others on it is not yet to be read. Default: it has. */
  attached?(): boolean;
  /** Called once when the stream ends in any way but its own: the client is gone or does not read. */
  onCut(): void;
};

const encoder = new TextEncoder();

/** One event. */
export const sse = (data: string): string => `data: ${data}\n\n`;

/** A piece of text, or that none came in time. */
type Next = IteratorResult<string, void> | "silence";

/**
 * A body of pieces of text that are made as they are read: nothing is asked of `pieces` before the client has taken what
 * came before.
 */
export const eventStream = (
  pieces: AsyncIterator<string, void, undefined>,
  { pingEvery, stalledAfter, attached = () => true, onCut }: EventStreamOptions,
): ReadableStream<Uint8Array> => {
  let pending: Promise<Next> | undefined;
  let stalled: NodeJS.Timeout | undefined;
  const end = (): void => clearTimeout(stalled);
  const watch = (): void => {
    stalled = setTimeout(() => (attached() ? onCut() : watch()), stalledAfter * 1000);
  };
  const silence = (): { wait: Promise<Next>; stop(): void } => {
    let timer: NodeJS.Timeout | undefined;
    const wait = new Promise<Next>((resolve) => {
      timer = setTimeout(() => resolve("silence"), pingEvery * 1000);
    });
    return { wait, stop: () => clearTimeout(timer) };
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(stalled);
        pending ??= pieces.next();
        const { wait, stop } = silence();
        const next = await Promise.race([pending, wait]);
        stop();
        if (next !== "silence") pending = undefined;
        if (next !== "silence" && next.done === true) {
          controller.close();
          return;
        }
        controller.enqueue(encoder.encode(next === "silence" ? ": ping\n\n" : next.value));
        // The next pull comes once the client has taken this.
        watch();
      },
      async cancel() {
        end();
        onCut();
        await pieces.return?.();
      },
    },
    { highWaterMark: 0 },
  );
};
