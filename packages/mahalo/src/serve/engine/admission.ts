/** How much may wait: answers and tokens of prompts, over all that the engine's thread works on. */
import { MahaloError } from "@mahalo/torch";

/** Bounds on what waits. */
export type AdmissionBounds = { maxWaiting: number; maxWaitingTokens: number };

/** One job's share of what waits. */
export type Ticket = {
  /** A choice has begun: it waits no more. @param tokens those of its prompt */
  begin(tokens: number): void;
  /** Gives back what has not begun; once more does nothing. */
  release(): void;
};

/** Counts what waits. */
export class Admission {
  readonly #bounds: AdmissionBounds;
  #answers = 0;
  #tokens = 0;

  constructor(bounds: AdmissionBounds) {
    this.#bounds = bounds;
  }

  /** Answers that wait. */
  get waiting(): number {
    return this.#answers;
  }

  /**
   * Lets a job in.
   *
   * @param answers its choices
   * @param tokens those of its prompts, each choice's counted
   * @param room answers that could begin at once
   * @throws MahaloError E_SERVER_BUSY
   */
  admit(answers: number, tokens: number, room: number): Ticket {
    const { maxWaiting, maxWaitingTokens } = this.#bounds;
    // What finds room at once waits for no longer than a step, whatever its size.
    const waits = Math.max(0, this.#answers + answers - room);
    if (waits > maxWaiting || (waits > 0 && this.#tokens + tokens > maxWaitingTokens)) {
      throw new MahaloError("E_SERVER_BUSY", "as many requests wait as the server takes", {
        hint: "ask again in a moment",
      });
    }
    let left = { answers, tokens };
    this.#answers += answers;
    this.#tokens += tokens;
    const give = (answersBack: number, tokensBack: number): void => {
      this.#answers -= answersBack;
      this.#tokens -= tokensBack;
      left = { answers: left.answers - answersBack, tokens: left.tokens - tokensBack };
    };
    return { begin: (begun) => give(1, begun), release: () => give(left.answers, left.tokens) };
  }
}
