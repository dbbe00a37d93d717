/** What the engine's thread runs: opens the models, then works on jobs until its port is closed. */
import { parentPort, workerData } from "node:worker_threads";
import { need } from "../../core/need.ts";
import { Guides } from "./guides.ts";
import { toPlain } from "./plain-error.ts";
import type { EngineSettings, FromEngine, ToEngine } from "./protocol.ts";
import { openModels } from "./served-models.ts";
import { Workshop } from "./workshop.ts";

const port = need(parentPort ?? undefined, "the engine's thread has a parent");
const { settings } = workerData as { settings: EngineSettings };
const send = (message: FromEngine): void => port.postMessage(message);

try {
  const guides = await Guides.open(settings.guides, settings.compute);
  const served = await openModels(settings);
  const workshop = new Workshop(served, guides, settings, send);
  port.on("message", (message: ToEngine) => {
    if (message.type === "cancel") workshop.cancel(message.id);
    else workshop.submit(message.id, message.job);
  });
  send({
    type: "ready",
    models: [...served.values()].map(({ info }) => info),
    guides: guides.names,
    scores: guides.models,
  });
} catch (error) {
  send({ type: "failed", error: toPlain(error) });
}
