/** What the server counts, for Prometheus: vLLM's meanings under mahalo's name, and which objectives users choose. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Mix } from "../model/heads/heads.ts";
import type { EngineStats, GenerateJob, JobEvent } from "./engine/protocol.ts";

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80];

/** The counters of one server. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"finished_reason">;
  readonly #prompt: Counter;
  readonly #generated: Counter;
  readonly #cached: Counter;
  readonly #queue: Histogram;
  readonly #first: Histogram;
  readonly #between: Histogram;
  readonly #whole: Histogram;
  readonly #weights: Counter<"objective">;
  readonly #responses: Counter<"route" | "status">;

  constructor(stats: () => EngineStats) {
    const registers = [this.#registry];
    const gauge = (name: string, help: string, read: (stats: EngineStats) => number): void => {
      new Gauge({
        name: `mahalo_${name}`,
        help,
        registers,
        collect() {
          this.set(read(stats()));
        },
      });
    };
    const counter = (name: string, help: string): Counter =>
      new Counter({ name: `mahalo_${name}`, help, registers });
    const histogram = (name: string, help: string): Histogram =>
      new Histogram({ name: `mahalo_${name}_seconds`, help, buckets: seconds, registers });
    gauge("num_requests_running", "Answers that decode now.", ({ running }) => running);
    gauge("num_requests_waiting", "Answers that wait for room.", ({ waiting }) => waiting);
    gauge("kv_cache_used_bytes", "Bytes of keys and values in use.", ({ usedBytes }) => usedBytes);
    this.#prompt = counter("prompt_tokens_total", "Tokens of prompts.");
    this.#generated = counter("generation_tokens_total", "Tokens of answers.");
    this.#cached = counter("prefix_cache_hits_total", "Tokens of prompts found in memory.");
    this.#queue = histogram("request_queue_time", "Time until an answer gets room.");
    this.#first = histogram("time_to_first_token", "Time until an answer's first token.");
    this.#between = histogram("inter_token_latency", "Time between two tokens of an answer.");
    this.#whole = histogram("e2e_request_latency", "Time until an answer has ended.");
    this.#requests = new Counter({
      name: "mahalo_request_success_total",
      help: "Answers that ended, by why.",
      labelNames: ["finished_reason"],
      registers,
    });
    this.#weights = new Counter({
      name: "mahalo_objective_weight_sum",
      help: "Sum over answers of the weight of an objective.",
      labelNames: ["objective"],
      registers,
    });
    this.#responses = new Counter({
      name: "mahalo_http_responses_total",
      help: "Responses by route and status.",
      labelNames: ["route", "status"],
      registers,
    });
  }

  /** Counts a response. @param route a route's pattern, never a path as it came */
  response(route: string, status: number): void {
    this.#responses.inc({ route, status: String(status) });
  }

  /** Passes a job's events through, and counts them. */
  async *watch(job: GenerateJob, events: AsyncIterable<JobEvent>): AsyncGenerator<JobEvent, void, undefined> {
    const begun = performance.now();
    const since = (time: number): number => (performance.now() - time) / 1000;
    const last = new Map<number, number>();
    /** Tokens so far of answers that have begun and not ended. */
    const underWay = new Map<number, number>();
    try {
      for await (const event of events) {
        if (event.type === "prompts") {
          for (const tokens of event.tokens) this.#prompt.inc(tokens);
          this.#chosen(event.mix, event.tokens.length * job.n);
        } else if (event.type === "start") {
          this.#queue.observe(since(begun));
          this.#cached.inc(event.cachedTokens);
          underWay.set(event.choice, 0);
        } else if (event.type === "delta") {
          const before = last.get(event.choice);
          if (before === undefined) this.#first.observe(since(begun));
          // A search gives whole steps.
          else if (job.guidance === undefined)
            for (let token = 0; token < event.tokens; token++)
              this.#between.observe(since(before) / event.tokens);
          last.set(event.choice, performance.now());
          underWay.set(event.choice, event.tokens + (underWay.get(event.choice) ?? 0));
        } else if (event.type === "finish") {
          underWay.delete(event.choice);
          this.#generated.inc(event.tokens);
          this.#whole.observe(since(begun));
          this.#requests.inc({ finished_reason: event.finish });
        }
        yield event;
      }
    } finally {
      for (const tokens of underWay.values()) {
        this.#generated.inc(tokens);
        this.#requests.inc({ finished_reason: "abort" });
      }
    }
  }

  #chosen(mix: Mix | undefined, answers: number): void {
    for (const [objective, weight] of Object.entries(mix ?? {}))
      this.#weights.inc({ objective }, weight * answers);
  }

  /** The text of all, and its type. */
  async text(): Promise<{ type: string; body: string }> {
    return { type: this.#registry.contentType, body: await this.#registry.metrics() };
  }
}
