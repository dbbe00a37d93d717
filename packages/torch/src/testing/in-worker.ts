/** The body of a worker thread that uses the engine on its own and reports what it saw. */
import { parentPort, workerData } from "node:worker_threads";
import { backward } from "../autograd.ts";
import { MahaloError } from "../error.ts";
import { native } from "../native.ts";
import { liveTensors, scope } from "../scope.ts";
import { tensor } from "../tensor.ts";

const { foreign, leave } = workerData as { foreign: number; leave: boolean };
const liveAtStart = liveTensors();
const x = tensor([3], { requiresGrad: true });
const loss = scope(() => x.mul(x).sum());
backward(loss);
let code = "none";
try {
  native.item(foreign);
} catch (error) {
  if (error instanceof MahaloError) code = error.code;
}
parentPort?.postMessage({ liveAtStart, slope: x.grad?.item(), code });
// One worker leaves its tensors behind when its thread ends, the other frees them.
if (!leave) for (const tensor of [x, loss]) tensor.dispose();
