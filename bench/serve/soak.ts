/** Many clients that come, leave half way and come again, for as long as is asked, and the server's memory meanwhile. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { element } from "../../packages/mahalo/src/core/need.ts";
import { rng } from "../../packages/mahalo/src/core/random.ts";
import type { Mix } from "../../packages/mahalo/src/model/heads/heads.ts";
import { say } from "../lines.ts";
import type { BenchServer } from "./servers.ts";

/** What a soak is told. */
export type SoakSettings = {
  server: BenchServer;
  clients: number;
  seconds: number;
  newTokens: number;
  prompts: readonly string[];
  mixOf(client: number): Mix;
};

/** What came of it: answers that were read to their end, those that were left, refusals by status, and memory in bytes. */
export type Soaked = { whole: number; left: number; refused: Record<number, number>; memory: number[] };

const residentBytes = (pid: number): number =>
  Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;

/** Lets clients ask until the time is over; a third of them leaves each answer half way. @throws Error for a stream without an end */
export const soak = async ({
  server,
  clients,
  seconds,
  newTokens,
  prompts,
  mixOf,
}: SoakSettings): Promise<Soaked> => {
  const soaked: Soaked = { whole: 0, left: 0, refused: {}, memory: [] };
  const end = Date.now() + seconds * 1000;
  const client = async (number: number): Promise<void> => {
    const random = rng(0, "soak", String(number));
    while (Date.now() < end) {
      const leaves = random.next() < 1 / 3;
      const controller = new AbortController();
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        signal: controller.signal,
        body: JSON.stringify({
          model: server.model,
          messages: [{ role: "user", content: random.pick(prompts) }],
          max_tokens: 1 + random.integer(newTokens),
          temperature: 1,
          seed: random.integer(2 ** 31),
          stream: true,
          objective_weights: mixOf(random.integer(64)),
        }),
      });
      if (!response.ok || response.body === null) {
        soaked.refused[response.status] = (soaked.refused[response.status] ?? 0) + 1;
        await response.text();
        await sleep(200);
      } else if (leaves) {
        await response.body.getReader().read();
        controller.abort();
        soaked.left += 1;
      } else {
        const text = await response.text();
        if (!text.endsWith("data: [DONE]\n\n"))
          throw new Error(`an answer without its end: ${text.slice(-200)}`);
        soaked.whole += 1;
      }
    }
  };
  const watch = async (): Promise<void> => {
    while (Date.now() < end) {
      await sleep(Math.min(10_000, seconds * 100));
      soaked.memory.push(residentBytes(server.pid));
      say(
        `soak: ${soaked.whole} whole, ${soaked.left} left, ${JSON.stringify(soaked.refused)} refused, ${(element(soaked.memory, soaked.memory.length - 1) / 2 ** 20).toFixed(0)} MiB`,
      );
    }
  };
  await Promise.all([watch(), ...Array.from({ length: clients }, (_, number) => client(number))]);
  return soaked;
};

/** Highest memory of the last third over that of the second: 1 where it is flat once all has been met. */
export const growthOf = ({ memory }: Pick<Soaked, "memory">): number => {
  const third = Math.floor(memory.length / 3);
  const most = (values: readonly number[]): number => Math.max(...values);
  return most(memory.slice(2 * third)) / most(memory.slice(third, 2 * third));
};
