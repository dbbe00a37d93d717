/** The options that generate and chat share: which mix, how tokens are chosen, how long an answer is. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { GenerateRequest } from "../decode/request.ts";
import { samplingFor } from "../decode/sampling.ts";
import type { LanguageModel, LoadOptions } from "../model/folder/load.ts";
import {
  computeDType,
  type Precision,
  type WeightsName,
  weightsNames,
} from "../model/transformer/precision.ts";
import { collect } from "./command.ts";

/** What the shared options hold once parsed. */
export type SamplingFlags = {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  stop?: string[];
  seed: number;
  maxNewTokens: number;
  precision: Precision;
  weights?: WeightsName;
  system?: string;
};

/** Reads a number; ranges are checked where it is used. */
export const number = (text: string): number => {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
};

/** Reads a whole number above 0, in digits. */
export const wholeAboveZero = (text: string): number => {
  const value = Number(text);
  if (/^[1-9]\d*$/.test(text.trim()) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("It must be a whole number above 0.");
};

/** The option of the precision to compute in; auto by default. */
export const precisionOption = (): Option =>
  new Option("--precision <p>", "precision to compute in; auto takes bf16 if the processor has it")
    .choices(["auto", "f32", "bf16"])
    .default("auto");

/** The option of the penalty on how often the answer has used a token. */
export const frequencyPenaltyOption = (): Option =>
  new Option(
    "--frequency-penalty <p>",
    "taken off a token's logit for each time the answer has used it, -2 to 2",
  ).argParser(number);

/** The option of the penalty on all tokens that the answer has used. */
export const presencePenaltyOption = (): Option =>
  new Option(
    "--presence-penalty <p>",
    "taken off the logit of every token that the answer has used, -2 to 2",
  ).argParser(number);

/** Adds the shared options to a command. */
export const withSampling = (command: Command): Command =>
  command
    .option(
      "--temperature <t>",
      "0 takes the most likely token; default: the model's own setting, else 0",
      number,
    )
    .option("--top-k <k>", "sample only from the k most likely tokens", number)
    .option(
      "--top-p <p>",
      "sample from the most likely tokens that have this share of the probability",
      number,
    )
    .option("--min-p <p>", "leave out tokens below this share of the most likely token's probability", number)
    .option("--repetition-penalty <p>", "above 1 makes used tokens less likely", number)
    .addOption(frequencyPenaltyOption())
    .addOption(presencePenaltyOption())
    .option("--stop <text>", "end the answer before this text; may be repeated", collect)
    .option("--seed <n>", "the same seed gives the same answers", number, 0)
    .option("--max-new-tokens <n>", "longest answer", number, 256)
    .option("--system <text>", "system message")
    .addOption(precisionOption())
    .addOption(
      new Option(
        "--weights <w>",
        "how decoding stores weights: a dtype, or int8 copies, which are read twice as fast as bf16; default: as --precision",
      ).choices([...weightsNames]),
    );

/** How the model is loaded. */
export const loadOptionsOf = ({
  precision,
  weights,
}: SamplingFlags): Pick<LoadOptions, "compute" | "weights"> => ({
  compute: computeDType(precision),
  weights,
});

/**
 * A request without its prompt.
 *
 * @param guided candidates of a search are sampled at temperature 1, unless the user says otherwise
 */
export const requestOf = (
  flags: SamplingFlags,
  { generation }: LanguageModel,
  { guided = false }: { guided?: boolean } = {},
): Omit<GenerateRequest, "ids"> => {
  const {
    temperature = guided ? 1 : undefined,
    topK,
    topP,
    minP,
    repetitionPenalty,
    frequencyPenalty,
    presencePenalty,
    stop,
    seed,
    maxNewTokens,
  } = flags;
  const penalties = { repetitionPenalty, frequencyPenalty, presencePenalty };
  return {
    sampling: samplingFor(generation, { temperature, topK, topP, minP, ...penalties }),
    seed,
    maxNewTokens,
    ...(stop === undefined ? {} : { stop }),
  };
};
