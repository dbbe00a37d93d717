/** Seeds and generators: every random operator takes a Generator, so that no stream depends on another. */
import { native } from "./native.ts";
import { Tensor } from "./tensor.ts";

const registry = new FinalizationRegistry<number>((handle) => native.freeGenerator(handle));

/**
 * A random stream of its own; the same seed gives the same numbers on the same kind of device.
 *
 * Freed by {@link Generator.dispose} or by the garbage collector; scopes do not touch it.
 */
export class Generator {
  /** Native handle; stale once disposed, and then an error to draw from. */
  readonly handle: number;

  /** A stream for a whole seed from 0 to 2^53; another seed or a device that is not there is an error (`E_TORCH...`). */
  constructor(seed: number, device = "cpu") {
    this.handle = native.createGenerator(seed, device);
    registry.register(this, this.handle, this);
  }
  /** State as a tensor of bytes, for a checkpoint. */
  getState(): Tensor {
    return new Tensor(native.generatorState(this.handle));
  }
  /** Goes on from a state that {@link Generator.getState} gave, also one of another run; anything else is an error. */
  setState(state: Tensor): void {
    native.setGeneratorState(this.handle, state.handle);
  }
  /** Frees the stream now; a second call does nothing. */
  dispose(): void {
    registry.unregister(this);
    native.freeGenerator(this.handle);
  }
}

/** Seeds libtorch's global stream (a whole number from 0 to 2^53), used by operators that are given no generator. */
export const manualSeed = (seed: number): void => native.manualSeed(seed);
