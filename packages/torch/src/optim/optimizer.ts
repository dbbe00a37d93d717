/** The optimiser: named parameters, an update rule, and state that a checkpoint can hold. */
import { noGrad } from "../autograd.ts";
import { MahaloError } from "../error.ts";
import * as ops from "../ops.generated.ts";
import { keep, scope } from "../scope.ts";
import { type Tensor, tensor } from "../tensor.ts";
import type { UpdateRule } from "./rules.ts";

/** Elements updated at a time: bounds the memory of a step's temporaries to 64 MiB in f32. */
const CHUNK_ELEMENTS = 1 << 24;

/** Options of an {@link Optimizer}. */
export type OptimizerOptions = {
  /** Step size; may be changed between steps. Finite, at least 0. */
  learningRate: number;
  /** Which parameters weight decay applies to, by name. Default all. */
  decays?: (name: string) => boolean;
  /** What a parameter's step size is multiplied by, by name: finite, at least 0. Default 1. */
  scales?: (name: string) => number;
};

type Slot = {
  name: string;
  parameter: Tensor;
  decays: boolean;
  scale: number;
  /** Updates so far; 0 until the first gradient, when the buffers are made. */
  step: number;
  buffers: Map<string, Tensor>;
};

function checkedScale(name: string, scale: number): number {
  if (scale >= 0 && Number.isFinite(scale)) return scale;
  throw new MahaloError("E_OPTIM_OPTION", `scale of ${name} must be finite and at least 0, not ${scale}`);
}

/** A parameter's buffer, which is made before the first update. */
function bufferOf({ buffers, parameter }: Slot, name: string): Tensor {
  const buffer = buffers.get(name) ?? keep(ops.zerosLike(parameter));
  buffers.set(name, buffer);
  return buffer;
}

/**
 * Changes parameters by their gradients.
 *
 * A parameter without a gradient is left as it is, and so is its state; each parameter counts its own updates. State is
 * of the parameter's dtype, so that f32 master weights have f32 moments.
 *
 * @example
 * const optimizer = new Optimizer(parameters, adamW({ weightDecay: 0 }), { learningRate: 5e-6 });
 * backward(loss);
 * clipGradNorm(parameters.values(), 10);
 * optimizer.step();
 * optimizer.zeroGrad();
 */
export class Optimizer {
  learningRate: number;
  readonly #slots: readonly Slot[];
  readonly #rule: UpdateRule;

  constructor(
    parameters: ReadonlyMap<string, Tensor>,
    rule: UpdateRule,
    { learningRate, decays = () => true, scales = () => 1 }: OptimizerOptions,
  ) {
    this.learningRate = learningRate;
    this.#rule = rule;
    this.#slots = [...parameters].map(([name, parameter]) => ({
      name,
      parameter,
      decays: decays(name),
      scale: checkedScale(name, scales(name)),
      step: 0,
      buffers: new Map(),
    }));
  }

  /**
   * One update of every parameter that has a gradient.
   *
   * @throws MahaloError `E_OPTIM_OPTION` for a learning rate that is negative or not finite.
   */
  step(): void {
    if (!(this.learningRate >= 0 && Number.isFinite(this.learningRate))) {
      throw new MahaloError(
        "E_OPTIM_OPTION",
        `learningRate must be finite and at least 0, not ${this.learningRate}`,
      );
    }
    let chunk: Slot[] = [];
    let elements = 0;
    const flush = (): void => {
      if (chunk.length > 0) this.#update(chunk);
      chunk = [];
      elements = 0;
    };
    for (const slot of this.#slots) {
      // Parameters of one chunk share the step size, and the step count that bias corrections depend on.
      const [first] = chunk;
      const alike = first?.step === slot.step && first.scale === slot.scale;
      if (elements + slot.parameter.numel > CHUNK_ELEMENTS || !alike) flush();
      chunk.push(slot);
      elements += slot.parameter.numel;
    }
    flush();
  }

  #update(chunk: readonly Slot[]): void {
    noGrad(() =>
      scope(() => {
        const updates = chunk.flatMap((slot) => {
          const gradient = slot.parameter.grad;
          return gradient === null ? [] : [{ slot, gradient }];
        });
        const [first] = updates;
        if (first === undefined) return;
        this.#rule.update({
          parameters: updates.map(({ slot }) => slot.parameter),
          gradients: updates.map(({ gradient }) => gradient),
          buffers: Object.fromEntries(
            this.#rule.buffers.map((name) => [name, updates.map(({ slot }) => bufferOf(slot, name))]),
          ),
          decays: updates.map(({ slot }) => slot.decays),
          learningRate: this.learningRate * first.slot.scale,
          step: first.slot.step + 1,
        });
        for (const { slot } of updates) slot.step += 1;
      }),
    );
  }

  /** Drops all gradients, so that the next backward pass starts anew and their memory is free meanwhile. */
  zeroGrad(): void {
    for (const { parameter } of this.#slots) parameter.grad = null;
  }

  /**
   * State for a checkpoint: `PARAMETER.step` (int64, one element) and `PARAMETER.BUFFER` of every parameter that was
   * updated. The buffers are the optimiser's own, not copies: write them before the next step, and free none.
   */
  state(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const { name, step, buffers } of this.#slots) {
      if (step === 0) continue;
      state.set(`${name}.step`, tensor([step], { dtype: "int64" }));
      for (const [buffer, values] of buffers) state.set(`${name}.${buffer}`, values);
    }
    return state;
  }

  /**
   * Takes over a checkpoint's state, copied; what was not in it starts anew.
   *
   * @throws MahaloError `E_OPTIM_STATE` where the state is of other parameters or another rule; then nothing is changed.
   */
  loadState(state: ReadonlyMap<string, Tensor>): void {
    const bad = (message: string): MahaloError =>
      new MahaloError("E_OPTIM_STATE", `state of ${this.#rule.name}: ${message}`, {
        hint: "resume with the model, the trained layers and the optimiser that wrote it",
      });
    const used = new Set<string>();
    const read = (name: string): Tensor => {
      const values = state.get(name);
      if (values === undefined) throw bad(`${JSON.stringify(name)} is missing`);
      used.add(name);
      return values;
    };
    const loaded = this.#slots.map((slot) => {
      if (!state.has(`${slot.name}.step`)) return { slot, step: 0, sources: [] };
      const step = read(`${slot.name}.step`);
      if (step.numel !== 1 || !(step.item() >= 1)) throw bad(`"${slot.name}.step" is not a count of updates`);
      const sources = this.#rule.buffers.map((buffer) => {
        const values = read(`${slot.name}.${buffer}`);
        const { shape, dtype } = slot.parameter;
        if (values.dtype !== dtype || values.shape.join() !== shape.join()) {
          throw bad(
            `"${slot.name}.${buffer}" is ${values.dtype} [${values.shape}], but the parameter is ${dtype} [${shape}]`,
          );
        }
        return { buffer, values };
      });
      return { slot, step: step.item(), sources };
    });
    const stray = [...state.keys()].find((name) => !used.has(name));
    if (stray !== undefined) throw bad(`${JSON.stringify(stray)} belongs to no parameter here`);
    for (const { slot, step, sources } of loaded) {
      for (const values of slot.buffers.values()) values.dispose();
      slot.step = step;
      slot.buffers = new Map(sources.map(({ buffer, values }) => [buffer, keep(ops.clone(values))]));
    }
  }

  /** Frees the state. */
  dispose(): void {
    for (const slot of this.#slots) {
      for (const values of slot.buffers.values()) values.dispose();
      slot.buffers = new Map();
      slot.step = 0;
    }
  }
}
