/** The options of commands that may let an OpenAI-compatible endpoint answer instead of a model of ours. */
import type { Command } from "commander";
import { checkValue } from "../core/json.ts";
import { type EndpointGeneratorOptions, endpointGeneratorSchema } from "../rollout/endpoint-generator.ts";
import { usage } from "./command.ts";
import { parseYaml } from "./judge-options.ts";

/** What the options of an endpoint hold. */
export type EndpointFlags = {
  endpoint?: string;
  endpointModel?: string;
  endpointKeyEnv?: string;
  parallel: number;
};

/** Adds the options to a command. */
export const withEndpoint = (command: Command): Command =>
  command
    .option(
      "--endpoint <url>",
      "OpenAI-compatible endpoint that makes the answers, up to /v1; or its declaration as in a recipe: '{baseUrl: ..., api: completions}', with tokens from MODEL's tokenizer",
    )
    .option("--endpoint-model <name>", "name of the endpoint's model")
    .option("--endpoint-key-env <name>", "environment variable that holds the endpoint's key");

/**
 * The endpoint that the options name; undefined where they name none.
 *
 * @param model the model that the command names, which lends its tokenizer
 * @throws MahaloError E_CLI_USAGE, E_ENDPOINT_OPTIONS
 */
export const endpointOf = (
  { endpoint, endpointModel, endpointKeyEnv, parallel }: EndpointFlags,
  model: string | undefined,
): EndpointGeneratorOptions | undefined => {
  if (endpoint === undefined) {
    if (endpointModel === undefined && endpointKeyEnv === undefined) return undefined;
    throw usage("--endpoint-model and --endpoint-key-env need --endpoint");
  }
  const declared = endpoint.trimStart().startsWith("{")
    ? parseYaml(endpoint, "endpoint")
    : { baseUrl: endpoint };
  const given = {
    concurrency: parallel,
    ...(model === undefined ? {} : { tokenizer: model }),
    ...(typeof declared === "object" ? declared : {}),
    ...(endpointModel === undefined ? {} : { model: endpointModel }),
    ...(endpointKeyEnv === undefined ? {} : { apiKeyEnv: endpointKeyEnv }),
  };
  return checkValue(given, endpointGeneratorSchema, "--endpoint", {
    code: "E_ENDPOINT_OPTIONS",
    hint: "name the endpoint's model with --endpoint-model",
  });
};
