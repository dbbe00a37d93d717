/** Rows whose answers an endpoint continues, and an endpoint that answers as a model with a seed does. */
import { hashBytes } from "../../core/files.ts";
import type { SeenCall } from "../../endpoint/testing/server.ts";
import type { RolloutSource } from "../monte-carlo.ts";

/** An answer that depends on the request alone, as a model with a seed gives it: two or three lines. */
export const asModel = ({ body }: SeenCall, choice = 0): string => {
  const hash = hashBytes(JSON.stringify([body.messages, body.prompt, body.seed, choice]));
  return hash < "8"
    ? `so ${hash.slice(0, 3)}\nand ${hash.slice(3, 6)}`
    : `then ${hash.slice(0, 4)}\n\nwe\ndone`;
};

/** Responses of two lines and a last one, each with its own words. */
export const endpointRows = (count: number): RolloutSource[] =>
  Array.from({ length: count }, (_, at) => ({
    objective: "accuracy",
    kind: "verifiable" as const,
    prompt: `What is ${at} and 1?`,
    response: `We have ${at}.\nOne more.\n\nIt is ${at + 1}.`,
    answer: String(at + 1),
    origin: { file: "rows.jsonl", line: at + 1 },
  }));
