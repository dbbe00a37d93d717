/** A program that trains a small net for 10,000 steps and prints how its memory moved; run with --expose-gc. */
import { backward, noGrad } from "../autograd.ts";
import * as ops from "../ops.generated.ts";
import { Generator } from "../random.ts";
import { setThreads } from "../runtime.ts";
import { liveTensors, scope } from "../scope.ts";
import { tensor } from "../tensor.ts";

setThreads(1);
const generator = new Generator(1);
const weights = [ops.randn([64, 32], { generator }), ops.randn([8, 64], { generator })];
for (const weight of weights) weight.requiresGrad = true;
const classes = tensor([0, 1, 2, 3], { dtype: "int64" });
const x_BD = ops.randn([4, 32], { generator });

const step = (): number =>
  scope(() => {
    const [up, down] = weights as [(typeof weights)[0], (typeof weights)[0]];
    const loss = ops.crossEntropy(ops.linear(ops.silu(ops.linear(x_BD, up)), down), classes);
    backward(loss);
    noGrad(() => {
      for (const weight of weights) {
        const { grad } = weight;
        if (grad !== null) ops.add_(weight, grad, { alpha: -0.01 });
        weight.grad = null;
      }
    });
    try {
      ops.mm(x_BD, up);
    } catch {
      // A failing call in every step must not leak either.
    }
    return loss.item();
  });

const rss = (): number => {
  globalThis.gc?.();
  return process.memoryUsage().rss / 2 ** 20;
};
const first = step();
for (let i = 0; i < 2000; i += 1) step();
const warm = { rss: rss(), live: liveTensors() };
let last = first;
for (let i = 0; i < 10_000; i += 1) last = step();
process.stdout.write(
  JSON.stringify({ first, last, grownMegabytes: rss() - warm.rss, grownTensors: liveTensors() - warm.live }),
);
