/** The states that a scorer has given out, by number. */
import { MahaloError } from "@mahalo/torch";

/** States under numbers that are never given twice. */
export class States<T> {
  readonly #held = new Map<number, T>();
  #next = 0;

  /** Keeps a state and gives its number. */
  add(state: T): number {
    this.#held.set(this.#next, state);
    return this.#next++;
  }

  /** @throws MahaloError E_SCORER_STATE where there is none of that number */
  get(id: number): T {
    const state = this.#held.get(id);
    if (state !== undefined) return state;
    throw new MahaloError("E_SCORER_STATE", `there is no state ${id}`, { exitStatus: 1 });
  }

  /** All states that are kept. */
  values(): Iterable<T> {
    return this.#held.values();
  }

  drop(id: number): void {
    this.#held.delete(id);
  }

  clear(): void {
    this.#held.clear();
  }
}
