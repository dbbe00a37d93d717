/** Random streams: the same seed, the same numbers; no stream disturbs another; states can be kept and restored. */
import { expect, test } from "vitest";
import * as ops from "./ops.generated.ts";
import { Generator, manualSeed } from "./random.ts";
import { tensor } from "./tensor.ts";

const draw = (generator: Generator): number[] => [...ops.rand([5], { generator }).toFloat32Array()];

test("a seed decides the numbers", () => {
  expect(draw(new Generator(1))).toEqual(draw(new Generator(1)));
  expect(draw(new Generator(1))).not.toEqual(draw(new Generator(2)));
  // Philox and Mersenne streams differ by device; on the CPU these are PyTorch's own numbers for seed 0.
  expect(draw(new Generator(0)).map((value) => value.toFixed(4))).toEqual([
    "0.4963",
    "0.7682",
    "0.0885",
    "0.1320",
    "0.3074",
  ]);
});

test("streams do not disturb one another, nor the global one", () => {
  const [a, b] = [new Generator(1), new Generator(1)];
  const first = draw(a);
  manualSeed(5);
  const global = [...ops.rand([3], { generator: null }).toFloat32Array()];
  manualSeed(5);
  draw(a);
  expect([...ops.rand([3], { generator: null }).toFloat32Array()]).toEqual(global);
  expect(draw(b)).toEqual(first);
});

test("a stream goes on from a state that was kept", () => {
  const generator = new Generator(3);
  draw(generator);
  const state = generator.getState();
  const kept = state.toTypedArray();
  const next = draw(generator);
  generator.setState(state);
  expect(draw(generator)).toEqual(next);
  const other = new Generator(99);
  other.setState(tensor(kept));
  expect(draw(other)).toEqual(next);
});

test("every random operator in use takes a stream", () => {
  const twice = (make: (generator: Generator) => unknown): void =>
    expect(make(new Generator(4))).toEqual(make(new Generator(4)));
  twice((generator) => ops.randn([4], { generator }).toFloat32Array());
  twice((generator) => ops.randperm(8, { generator }).toInt32Array());
  twice((generator) => ops.multinomial(tensor([1, 2, 3]), 2, false, { generator }).toInt32Array());
  twice((generator) => ops.normal_(tensor([0, 0]), 0, 1, { generator }).toFloat32Array());
  twice((generator) => ops.uniform_(tensor([0, 0]), 0, 1, { generator }).toFloat32Array());
});

test("seeds up to 2^53 differ; what is no seed is an error", () => {
  expect(draw(new Generator(2 ** 53 - 1))).not.toEqual(draw(new Generator(2 ** 53 - 2)));
  for (const seed of [-1, 0.5, Number.NaN, 2 ** 54])
    expect(() => new Generator(seed)).toThrow("createGenerator: expected a seed from 0 to 2^53");
  expect(() => manualSeed(-1)).toThrow("manualSeed: expected a seed");
});

test("a freed stream and a state that is none are errors", () => {
  const generator = new Generator(1);
  expect(() => generator.setState(tensor([1]))).toThrow("setGeneratorState");
  expect(() => generator.setState(tensor(Uint8Array.of(1, 2)))).toThrow("setGeneratorState");
  generator.dispose();
  generator.dispose();
  expect(() => draw(generator)).toThrow("aten::rand.generator (argument generator): generator was freed");
  expect(() => new Generator(1, "cuda:99")).toThrow("createGenerator");
});
