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
  Array.from({ length: count }, (_, index) => ({
    objective: "accuracy",
    kind: "verifiable" as const,
    prompt: `What is ${index} and 1?`,
    response: `We have ${index}.\nOne more.\n\nIt is ${index + 1}.`,
    answer: String(index + 1),
    origin: { file: "rows.jsonl", line: index + 1 },
  }));
