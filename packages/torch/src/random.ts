/** Seeds and generators: every random operator takes a Generator, so that no stream depends on another. */
import { native } from "./native.ts";
import { Tensor } from "./tensor.ts";

/** A random stream of its own; the same seed gives the same numbers on the same kind of device. */
export class Generator {
  readonly handle: number;

  constructor(seed: number, device = "cpu") {
    this.handle = native.createGenerator(seed, device);
  }
  /** State as a tensor of bytes, for a checkpoint. */
  getState(): Tensor {
    return new Tensor(native.generatorState(this.handle));
  }
  setState(state: Tensor): void {
    native.setGeneratorState(this.handle, state.handle);
  }
  dispose(): void {
    native.freeGenerator(this.handle);
  }
}

/** Seeds libtorch's global stream, used by operators that are given no generator. */
export const manualSeed = (seed: number): void => native.manualSeed(seed);
