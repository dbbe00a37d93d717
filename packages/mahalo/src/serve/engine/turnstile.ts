/** A turnstile for work that takes long: a few pieces run at a time. */

/** Lets a few pieces of work run at a time; the others wait in order. */
export class Turnstile {
  readonly #places: number;
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#places = places;
    this.#free = places;
  }

  /** Work that goes on now. */
  get active(): number {
    return this.#places - this.#free;
  }

  /** Runs work once there is a place. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
