/** A program that uses the engine in two worker threads at once and prints what they and it saw. */
import { Worker } from "node:worker_threads";
import { liveTensors } from "../scope.ts";
import { tensor } from "../tensor.ts";

// A worker does not inherit the loader of TypeScript from its parent.
const body = JSON.stringify(new URL("./in-worker.ts", import.meta.url).href);
const START = `import("tsx/esm/api").then(({ register }) => { register(); return import(${body}); });`;

const mine = tensor([1]);
const before = liveTensors();
const runWorker = (leave: boolean): Promise<unknown> =>
  new Promise((resolve, reject) => {
    // The number of a tensor that no worker has.
    const workerData = { foreign: mine.handle + 2 ** 24 * 7, leave };
    const worker = new Worker(START, { eval: true, workerData });
    let message: unknown;
    worker.on("message", (value) => {
      message = value;
    });
    worker.on("error", reject);
    worker.on("exit", (status) => (status === 0 ? resolve(message) : reject(new Error(`exit ${status}`))));
  });
const seen = await Promise.all([runWorker(true), runWorker(false)]);
process.stdout.write(JSON.stringify({ seen, grownTensors: liveTensors() - before, mine: mine.item() }));
