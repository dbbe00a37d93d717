/** A program that leaves tensors to the garbage collector and prints what that freed; run with --expose-gc. */
import { native } from "../native.ts";
import * as ops from "../ops.generated.ts";
import { Generator } from "../random.ts";
import { keep, liveTensors, scope } from "../scope.ts";
import { tensor } from "../tensor.ts";

const MEGABYTE = 2 ** 20;
// V8 counts these bytes for its schedule, but Node 20 leaves them out of process.memoryUsage().external.
const external = (): number => native.adjustExternalMemory(0) / MEGABYTE;
const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i += 1) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

await settle();
const start = { live: liveTensors(), external: external() };

// One tensor and many views of it hold its bytes once.
let held: unknown[] = [];
const base = ops.zeros([16 * MEGABYTE], { dtype: "uint8" });
for (let i = 0; i < 50; i += 1) held.push(base.narrow(0, i, 10));
const withViews = external() - start.external;
base.dispose();
const withoutBase = external() - start.external;
held = [];
await settle();
const collected = { live: liveTensors() - start.live, external: external() - start.external };

// Disposed by hand: told at once.
const byHand = ops.zeros([16 * MEGABYTE], { dtype: "uint8" });
const beforeDispose = external() - start.external;
byHand.dispose();
const afterDispose = external() - start.external;

// Returned and kept tensors are told when they leave their scope.
const returned = scope(() => {
  keep(ops.zeros([16 * MEGABYTE], { dtype: "uint8" }));
  return ops.zeros([16 * MEGABYTE], { dtype: "uint8" });
});
const afterScope = external() - start.external;
returned.dispose();
await settle();
const afterKept = { live: liveTensors() - start.live, external: external() - start.external };

// 2 GB in pieces: without the collector's help the process would grow by all of it.
let peak = 0;
for (let i = 0; i < 128; i += 1) {
  ops.fill_(ops.empty([16 * MEGABYTE], { dtype: "uint8" }), 1);
  new Generator(i);
  tensor([i]);
  await new Promise((resolve) => setImmediate(resolve));
  peak = Math.max(peak, process.memoryUsage().rss / MEGABYTE);
}
await settle();
const afterLoop = liveTensors() - start.live;
process.stdout.write(
  JSON.stringify({
    withViews,
    withoutBase,
    collected,
    beforeDispose,
    afterDispose,
    afterScope,
    afterKept,
    peak,
    afterLoop,
  }),
);
