/** The engine's thread as the HTTP thread sees it: jobs in, events out, one error for all when the thread is gone. */
import { Worker } from "node:worker_threads";
import type { MahaloError } from "@mahalo/torch";
import { fromPlain, internalCode, toPlain } from "./plain-error.ts";
import type {
  EngineSettings,
  EngineStats,
  FromEngine,
  Job,
  JobEvent,
  ModelInfo,
  PlainError,
  ToEngine,
} from "./protocol.ts";

/** A job's events as they come; leaving the loop early cancels the job. */
class JobEvents implements AsyncIterableIterator<JobEvent, void, undefined> {
  readonly #events: JobEvent[] = [];
  readonly #cancel: () => void;
  #wake: (() => void) | undefined;
  #over = false;

  constructor(cancel: () => void) {
    this.#cancel = cancel;
  }

  push(event: JobEvent): void {
    this.#events.push(event);
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<JobEvent, void>> {
    for (;;) {
      if (this.#over) return { done: true, value: undefined };
      const event = this.#events.shift();
      if (event === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      if (event.type === "end") {
        this.#over = true;
        return { done: true, value: undefined };
      }
      if (event.type === "error") {
        this.#over = true;
        throw fromPlain(event.error);
      }
      return { done: false, value: event };
    }
  }

  async return(): Promise<IteratorResult<JobEvent, void>> {
    if (!this.#over) this.#cancel();
    this.#over = true;
    this.#wake?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** What the thread says once its models are loaded. */
type Ready = Extract<FromEngine, { type: "ready" }>;

const gone: PlainError = { code: "E_ENGINE_GONE", message: "the engine has stopped" };

/** Starts the engine's thread and speaks with it. */
export class EngineClient {
  readonly models: ReadonlyMap<string, ModelInfo>;
  /** Names of the scores that may guide a search. */
  readonly guides: readonly string[];
  /** Those of them that reward models give, step by step. */
  readonly scores: readonly string[];
  readonly #worker: Worker;
  readonly #jobs = new Map<number, JobEvents>();
  #next = 1;
  #gone: PlainError | undefined;
  #stats: EngineStats = { running: 0, waiting: 0, usedBytes: 0 };
  /** Called once if the thread ends before it is closed. */
  onGone: ((error: MahaloError) => void) | undefined;

  private constructor(worker: Worker, { models, guides, scores }: Ready) {
    this.#worker = worker;
    this.models = new Map(models.map((info) => [info.id, info]));
    this.guides = guides;
    this.scores = scores;
    worker.on("message", (message: FromEngine) => this.#take(message));
    worker.on("error", (error) => this.#end(toPlain(error)));
    worker.on("exit", () => this.#end(gone));
  }

  /**
   * Loads the models in a thread of their own.
   *
   * @throws MahaloError what loading them throws
   */
  static async open(settings: EngineSettings): Promise<EngineClient> {
    const inSources = import.meta.url.endsWith(".ts");
    const body = new URL(inSources ? "./body.ts" : "./body.js", import.meta.url).href;
    const worker = new Worker(new URL("./thread.mjs", import.meta.url), {
      name: "engine",
      workerData: { body, settings },
    });
    const ready = await new Promise<Ready>((resolve, reject) => {
      worker.once("message", (message: FromEngine) => {
        if (message.type === "ready") resolve(message);
        else reject(fromPlain(message.type === "failed" ? message.error : gone));
      });
      worker.once("error", reject);
      worker.once("exit", () => reject(fromPlain(gone)));
    }).catch(async (error: unknown) => {
      await worker.terminate();
      throw error;
    });
    worker.removeAllListeners("error");
    worker.removeAllListeners("exit");
    return new EngineClient(worker, ready);
  }

  /** What the thread last reported. */
  get stats(): EngineStats {
    return this.#stats;
  }

  /** Whether the thread runs. */
  get alive(): boolean {
    return this.#gone === undefined;
  }

  /**
   * Hands a job in.
   *
   * @param signal cancels it
   * @returns its events; the loop ends with the job, or throws what went wrong with it
   * @throws MahaloError E_INTERRUPTED once `signal` is aborted, E_ENGINE_GONE
   */
  submit(job: Job, signal?: AbortSignal): AsyncIterableIterator<JobEvent, void, undefined> {
    const id = this.#next++;
    const cancel = (): void => {
      if (!this.#jobs.delete(id)) return;
      signal?.removeEventListener("abort", interrupt);
      this.#send({ type: "cancel", id });
    };
    const events = new JobEvents(cancel);
    const interrupt = (): void => {
      cancel();
      events.push({ type: "error", error: { code: "E_INTERRUPTED", message: "the request was cancelled" } });
    };
    this.#jobs.set(id, events);
    if (this.#gone !== undefined) this.#deliver(id, { type: "error", error: this.#gone });
    else if (signal?.aborted) interrupt();
    else {
      signal?.addEventListener("abort", interrupt, { once: true });
      this.#send({ type: "submit", id, job });
    }
    return events;
  }

  #send(message: ToEngine): void {
    if (this.#gone === undefined) this.#worker.postMessage(message);
  }

  #deliver(id: number, event: JobEvent): void {
    const events = this.#jobs.get(id);
    if (event.type === "end" || event.type === "error") this.#jobs.delete(id);
    events?.push(event);
  }

  #take(message: FromEngine): void {
    if (message.type !== "events") return;
    this.#stats = message.stats;
    for (const [id, event] of message.events) this.#deliver(id, event);
  }

  /** The thread is gone: nothing that was asked of it will be answered. */
  #end(error: PlainError): void {
    if (this.#gone !== undefined) return;
    this.#gone =
      error.code === internalCode ? { ...gone, message: `${gone.message}: ${error.message}` } : error;
    for (const id of [...this.#jobs.keys()]) this.#deliver(id, { type: "error", error: this.#gone });
    this.onGone?.(fromPlain(this.#gone));
  }

  /** Ends the thread; jobs that have not ended get an error. */
  async close(): Promise<void> {
    this.onGone = undefined;
    this.#end(gone);
    await this.#worker.terminate();
  }
}
