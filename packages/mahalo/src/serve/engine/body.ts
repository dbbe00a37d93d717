/** What the engine's thread runs: takes jobs in, steps the engines while there is work, and sends what happened. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { MahaloError } from "@mahalo/torch";
import { need } from "../../core/need.ts";
import { promptIds, type RunningJob, readJob, startJob } from "./generate-job.ts";
import { toPlain } from "./plain-error.ts";
import type { EngineSettings, FromEngine, Job, JobEvent, ToEngine } from "./protocol.ts";
import { openModels, type ServedModel, servedModel } from "./served-models.ts";

const port = need(parentPort ?? undefined, "the engine's thread has a parent");
const { settings } = workerData as { settings: EngineSettings };
const send = (message: FromEngine): void => port.postMessage(message);

const load = async (): Promise<Map<string, ServedModel> | undefined> => {
  try {
    return await openModels(settings);
  } catch (error) {
    send({ type: "failed", error: toPlain(error) });
    return undefined;
  }
};

/** Takes jobs in and works on them until its port is closed. */
const work = (served: ReadonlyMap<string, ServedModel>): void => {
  const jobs = new Map<number, RunningJob>();
  const engines = [...served.values()].map(({ engine }) => engine);
  let events: (readonly [number, JobEvent])[] = [];
  let waitingTokens = 0;
  let looping = false;

  const sum = (count: (engine: (typeof engines)[number]) => number): number =>
    engines.reduce((total, engine) => total + count(engine), 0);
  let told = "";
  const flush = (): void => {
    const stats = {
      running: sum(({ active }) => active),
      waiting: sum(({ waiting }) => waiting),
      usedBytes: sum(({ usedBytes }) => usedBytes),
    };
    const now = JSON.stringify(stats);
    if (events.length === 0 && now === told) return;
    told = now;
    send({ type: "events", events, stats });
    events = [];
  };
  /** Steps while there is work; between two steps messages come in. */
  const loop = async (): Promise<void> => {
    if (looping) return;
    looping = true;
    while (sum(({ active, waiting }) => active + waiting) > 0) {
      for (const engine of engines) engine.step();
      flush();
      await nextTurn();
    }
    looping = false;
    flush();
  };

  const generate = (id: number, job: Job & { kind: "generate" }): void => {
    const { engine, model } = servedModel(served, job.model);
    const read = readJob(model, job);
    const counts = read.prompts.map((ids) => ids.length);
    const tokens = counts.reduce((total, count) => total + count, 0) * job.n;
    const choices = counts.length * job.n;
    const waiting = sum((each) => each.waiting);
    const room = Math.max(0, settings.parallel - engine.active - engine.waiting);
    if (
      waiting + Math.max(0, choices - room) > settings.maxWaiting ||
      waitingTokens + tokens > settings.maxWaitingTokens
    )
      throw new MahaloError("E_SERVER_BUSY", "the server has as many requests as it takes", {
        hint: "ask again in a moment",
      });
    waitingTokens += tokens;
    let begun = 0;
    const release = (count: number): void => {
      waitingTokens -= count;
    };
    const emit = (event: JobEvent): void => {
      if (!jobs.has(id) && event.type !== "prompts") return;
      if (event.type === "start") {
        const count = need(counts[Math.floor(event.choice / job.n)], "a choice has a prompt");
        begun += count;
        release(count);
      }
      if (event.type === "end" || event.type === "error") jobs.delete(id);
      events.push([id, event]);
    };
    try {
      const running = startJob(engine, read, emit);
      jobs.set(id, {
        cancel: () => {
          running.cancel();
          release(tokens - begun);
        },
      });
    } catch (error) {
      release(tokens);
      throw error;
    }
    void loop();
  };

  const submit = (id: number, job: Job): void => {
    switch (job.kind) {
      case "generate":
        generate(id, job);
        return;
      case "tokenize": {
        const { model } = servedModel(served, job.model);
        events.push([id, { type: "tokens", ids: promptIds(model, job.prompt) }], [id, { type: "end" }]);
        return;
      }
      case "detokenize": {
        const { model } = servedModel(served, job.model);
        events.push([id, { type: "text", text: model.tokenizer.decode(job.ids) }], [id, { type: "end" }]);
        return;
      }
    }
  };

  port.on("message", (message: ToEngine) => {
    if (message.type === "cancel") {
      jobs.get(message.id)?.cancel();
      jobs.delete(message.id);
      flush();
      return;
    }
    try {
      submit(message.id, message.job);
    } catch (error) {
      events.push([message.id, { type: "error", error: toPlain(error) }]);
    }
    flush();
  });
};

const served = await load();
if (served !== undefined) {
  work(served);
  send({ type: "ready", models: [...served.values()].map(({ info }) => info) });
}
