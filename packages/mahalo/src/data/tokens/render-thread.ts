/** A thread that renders templates while the caller waits, and is ended when a template runs too long. */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { busiest, processorTime } from "../../core/time-limit.ts";

/** One rendering. */
export type RenderRequest = {
  /** The template's text. */
  text: string;
  /** Names the template may use; plain data only. */
  variables: Record<string, unknown>;
  /** What `strftime_now` takes for the present, in milliseconds since 1970. */
  now: number;
};

const answerSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("text"), text: z.string() }),
  z.object({ kind: z.enum(["syntax", "refused", "failed"]), message: z.string() }),
]);

/** What came of a rendering; `overdue`: it was ended at the time limit (or for want of memory). */
export type RenderAnswer = z.infer<typeof answerSchema> | { kind: "overdue" };

/** A thread that is ready to render. */
type RenderThread = { worker: Worker; port: MessagePort; flag: Int32Array };

/** Time for the thread to start, generous since a busy machine may be slow at it. */
const startLimit = 30_000;
/** Megabytes a template may use: the thread is ended beyond, the process goes on. */
const memoryLimit = 256;

let current: RenderThread | undefined;

const end = (thread: RenderThread): void => {
  if (current === thread) current = undefined;
  void thread.worker.terminate();
};

/**
 * Waits until the flag is raised, at most `limit` milliseconds on the clock; false where it was not. Being woken is not enough: the
 * thread raises the flag first and wakes after, so a caller that saw it raised and lowered it again for its next request
 * may be woken by what belonged to the last.
 */
function waitOnce(flag: Int32Array, limit: number): boolean {
  const deadline = performance.now() + limit;
  while (Atomics.load(flag, 0) === 0) {
    const left = deadline - performance.now();
    if (left <= 0) return false;
    Atomics.wait(flag, 0, 0, left);
  }
  return true;
}

/**
 * Waits until the flag is raised; false where it was not in `limit` milliseconds, or longer while other programs have the
 * processors: a busy machine is no fault of a template's.
 */
export const waitRaised = (flag: Int32Array, limit: number): boolean => {
  const began = processorTime();
  for (let round = 0; round < busiest; round += 1) {
    const before = processorTime();
    if (waitOnce(flag, limit)) return true;
    const now = processorTime();
    // The thread had its time, or has ended, for want of memory: this one only waits.
    if (now - began >= limit / 2 || now - before < limit / 1000) return false;
  }
  return false;
};

const start = (): RenderThread => {
  const { port1, port2 } = new MessageChannel();
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("./chat-template-worker.mjs", import.meta.url), {
    workerData: { port: port2, flag },
    transferList: [port2],
    // The thread is plain JavaScript and needs no loader of the parent's.
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: memoryLimit, maxYoungGenerationSizeMb: 32 },
  });
  const thread = { worker, port: port1, flag };
  // Out of memory arrives here; the caller has seen the time limit by then.
  worker.on("error", () => end(thread));
  worker.on("exit", () => end(thread));
  worker.unref();
  if (!waitRaised(flag, startLimit)) {
    end(thread);
    throw new MahaloError(
      "E_TEMPLATE_THREAD",
      `the thread for chat templates did not start in ${startLimit / 1000} s`,
      {
        hint: "try again when the machine is less busy",
        exitStatus: 1,
      },
    );
  }
  return thread;
};

/**
 * Renders a template, waiting for it at most `limit` milliseconds. The thread is kept for the next call; about 0.1 ms a
 * call on top of the template's own work, and some 50 ms for the first.
 */
export const renderInThread = (request: RenderRequest, limit: number): RenderAnswer => {
  current ??= start();
  const thread = current;
  Atomics.store(thread.flag, 0, 0);
  thread.port.postMessage(request);
  if (!waitRaised(thread.flag, limit)) {
    end(thread);
    return { kind: "overdue" };
  }
  return answerSchema.parse(receiveMessageOnPort(thread.port)?.message);
};
