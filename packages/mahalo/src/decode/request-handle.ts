/** The handle of a submitted request: an iterable of what happens to it, which drives the engine as it is read. */
import { MahaloError } from "@mahalo/torch";
import type { Mix } from "../model/heads/heads.ts";
import type { AnswerEvent } from "./events.ts";
import type { MixPlan } from "./mix-schedule.ts";
import type { Completion } from "./request.ts";

/** What a {@link RequestHandle} needs of its engine. */
export type Scheduler = {
  turn(): Promise<void>;
  cancel(handle: RequestHandle): void;
  steer(handle: RequestHandle, mix: Mix): MixPlan | undefined;
};

/**
 * A submitted request: an iterable of what happens, that ends with a `done` event.
 *
 * The engine steps only while somebody waits for an event, so nothing runs ahead of its reader. Leaving the loop early
 * cancels the request.
 */
export class RequestHandle implements AsyncIterableIterator<AnswerEvent, void, undefined> {
  readonly #scheduler: Scheduler;
  readonly #events: AnswerEvent[] = [];
  #over = false;
  #failure: { error: unknown } | undefined;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** Whether the request has been answered, cancelled, or has failed. */
  get over(): boolean {
    return this.#over;
  }

  /** Called by the engine. */
  push(event: AnswerEvent): void {
    this.#events.push(event);
  }

  /** Called by the engine after the last event. */
  finish(): void {
    this.#over = true;
  }

  /** Called by the engine. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#over = true;
  }

  /** Throws what went wrong with the request, if anything did. */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Gives the request up: its row leaves, and no event comes any more. Does nothing once it is over. */
  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.length = 0;
    this.#scheduler.cancel(this);
  }

  /**
   * Puts the rest of the answer under other weights, from its next token on.
   *
   * @returns the mixes of the whole answer, which repeat it in a request of its own; undefined once it is over
   * @throws MahaloError E_MIX_NO_HEADS, E_MIX_SCHEDULE, and E_MIX_* of a wrong mix; the answer then goes on as before
   */
  steer(mix: Mix): MixPlan | undefined {
    return this.#over ? undefined : this.#scheduler.steer(this, mix);
  }

  /** The next event. @throws what went wrong with this request */
  async next(): Promise<IteratorResult<AnswerEvent, void>> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return { done: false, value: event };
      this.throwIfFailed();
      if (this.#over) return { done: true, value: undefined };
      await this.#scheduler.turn();
    }
  }

  async return(): Promise<IteratorResult<AnswerEvent, void>> {
    this.cancel();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The whole answer; events that were not read before are lost. @throws E_INTERRUPTED where it was cancelled */
  async completion(): Promise<Completion> {
    for await (const event of this) if (event.type === "done") return event.completion;
    throw new MahaloError("E_INTERRUPTED", "the request was cancelled", { exitStatus: 1 });
  }
}
