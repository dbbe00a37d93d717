/** All jobs of the engine's thread: begun, stepped while there is work, cancelled, and their events sent in bundles. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { element } from "../../core/need.ts";
import { Admission } from "./admission.ts";
import { checkJob, readJob, startJob } from "./generate-job.ts";
import type { Guides } from "./guides.ts";
import { toPlain } from "./plain-error.ts";
import { promptIds } from "./prompts.ts";
import type { EngineSettings, FromEngine, GenerateJob, Job, JobEvent, ScoreJob } from "./protocol.ts";
import { scoreJob } from "./score-job.ts";
import { searchJob } from "./search-jobs.ts";
import { memoryShares, type ServedModel, servedModel } from "./served-models.ts";
import { Turnstile } from "./turnstile.ts";

/** A job under way. */
type Running = {
  cancel(): void;
  /** Throws what went wrong with it in the last step, if anything did. */
  check?(): void;
};

/** Works on jobs. Each ends with one event, `end` or `error`, unless it is cancelled. */
export class Workshop {
  readonly #served: ReadonlyMap<string, ServedModel>;
  readonly #guides: Guides;
  readonly #settings: EngineSettings;
  readonly #send: (message: FromEngine) => void;
  readonly #running = new Map<number, Running>();
  readonly #admission: Admission;
  readonly #turnstile: Turnstile;
  #events: (readonly [number, JobEvent])[] = [];
  #told = "";
  #flushing = false;
  #looping = false;

  constructor(
    served: ReadonlyMap<string, ServedModel>,
    guides: Guides,
    settings: EngineSettings,
    send: (message: FromEngine) => void,
  ) {
    this.#served = served;
    this.#guides = guides;
    this.#settings = settings;
    this.#send = send;
    this.#admission = new Admission(settings);
    this.#turnstile = new Turnstile(settings.searches);
  }

  /** Begins a job. */
  submit(id: number, job: Job): void {
    this.#running.set(id, { cancel: () => undefined });
    try {
      this.#begin(id, job);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  /** Gives a job up: nothing more is heard of it. */
  cancel(id: number): void {
    this.#running.get(id)?.cancel();
    this.#running.delete(id);
    this.#flushSoon();
  }

  #begin(id: number, job: Job): void {
    switch (job.kind) {
      case "generate":
        if (job.guidance === undefined) this.#decode(id, job);
        else this.#search(id, job);
        return;
      case "score":
        this.#score(id, job);
        return;
      case "tokenize":
        this.#emit(id, {
          type: "tokens",
          ids: promptIds(servedModel(this.#served, job.model), job.prompt),
        });
        this.#emit(id, { type: "end" });
        return;
      case "detokenize": {
        const { tokenizer } = servedModel(this.#served, job.model).model;
        this.#emit(id, { type: "text", text: tokenizer.decode(job.ids) });
        this.#emit(id, { type: "end" });
        return;
      }
    }
  }

  /** Lets a job in, and gives back what it had waiting as it begins, ends or is cancelled. */
  #admit(id: number, served: ServedModel, job: GenerateJob) {
    const read = readJob(served, job);
    const lengths = read.prompts.map((ids) => ids.length);
    const tokens = lengths.reduce((sum, length) => sum + length, 0) * job.n;
    const room = job.guidance === undefined ? this.#settings.parallel - served.engine.active : 1;
    const ticket = this.#admission.admit(lengths.length * job.n, tokens, room);
    const emit = (event: JobEvent): void => {
      if (event.type === "start") ticket.begin(element(lengths, Math.floor(event.choice / job.n), "prompt"));
      if (event.type === "end" || event.type === "error") ticket.release();
      this.#emit(id, event);
    };
    return { read, emit, release: () => ticket.release() };
  }

  #decode(id: number, job: GenerateJob): void {
    const served = servedModel(this.#served, job.model);
    const { read, emit, release } = this.#admit(id, served, job);
    try {
      const { cancel, check } = startJob(served.engine, read, emit);
      const running: Running = {
        cancel: () => {
          cancel();
          release();
        },
        check,
      };
      if (this.#running.has(id)) this.#running.set(id, running);
    } catch (error) {
      release();
      throw error;
    }
    void this.#loop();
  }

  #search(id: number, job: GenerateJob): void {
    const { guidance } = job;
    if (guidance === undefined) return;
    const served = servedModel(this.#served, job.model);
    // All is checked before anything waits.
    this.#guides.check(Object.keys(guidance.guides));
    const { read, emit, release } = this.#admit(id, served, job);
    try {
      checkJob(served.model, read);
    } catch (error) {
      release();
      throw error;
    }
    const { search: maxBytes } = memoryShares(this.#settings);
    this.#async(id, release, async (signal) => {
      emit({ type: "prompts", tokens: read.prompts.map((ids) => ids.length), ...read.mix });
      const options = {
        served,
        guides: this.#guides,
        guidance,
        signal,
        maxBytes,
        turnstile: this.#turnstile,
      };
      await searchJob(read, options, emit);
    });
  }

  #score(id: number, job: ScoreJob): void {
    const ticket = this.#admission.admit(job.items.length, 0, 1);
    this.#async(
      id,
      () => ticket.release(),
      async (signal) => {
        const items = await scoreJob(this.#guides, job, { signal, turnstile: this.#turnstile });
        ticket.release();
        this.#emit(id, { type: "scores", items });
        this.#emit(id, { type: "end" });
      },
    );
  }

  /** Work that goes on by itself and can be cancelled. */
  #async(id: number, release: () => void, work: (signal: AbortSignal) => Promise<void>): void {
    const controller = new AbortController();
    this.#running.set(id, {
      cancel: () => {
        controller.abort();
        release();
      },
    });
    work(controller.signal).catch((error: unknown) => this.#fail(id, error));
  }

  #fail(id: number, error: unknown): void {
    this.#running.get(id)?.cancel();
    this.#emit(id, { type: "error", error: toPlain(error) });
  }

  #emit(id: number, event: JobEvent): void {
    if (!this.#running.has(id)) return;
    if (event.type === "end" || event.type === "error") this.#running.delete(id);
    this.#events.push([id, event]);
    this.#flushSoon();
  }

  #sum(count: (served: ServedModel) => number): number {
    return [...this.#served.values()].reduce((total, served) => total + count(served), 0);
  }

  /** Steps while there is work; between two steps messages come in. */
  async #loop(): Promise<void> {
    if (this.#looping) return;
    this.#looping = true;
    while (this.#sum(({ engine }) => engine.active + engine.waiting) > 0) {
      for (const { engine } of this.#served.values()) engine.step();
      for (const [id, { check }] of this.#running) {
        try {
          check?.();
        } catch (error) {
          this.#fail(id, error);
        }
      }
      this.#flushSoon();
      await nextTurn();
    }
    this.#looping = false;
    this.#flushSoon();
  }

  /** Sends what has gathered, once what is being done is done. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    const stats = {
      running: this.#sum(({ engine }) => engine.active) + this.#turnstile.active,
      waiting: this.#admission.waiting,
      usedBytes: this.#sum(({ engine }) => engine.usedBytes),
    };
    const told = JSON.stringify(stats);
    if (this.#events.length === 0 && told === this.#told) return;
    this.#told = told;
    this.#send({ type: "events", events: this.#events, stats });
    this.#events = [];
  }
}
