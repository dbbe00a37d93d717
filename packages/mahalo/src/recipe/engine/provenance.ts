/** What a result came from: versions and machine, kept in every stage's manifest and in results. */
import { cpus, platform, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { hasCuda, instructionSet, torchVersion } from "@mahalo/torch";
import { z } from "zod";
import { readJsonFile } from "../../core/json.ts";
import { computeDType } from "../../model/transformer/precision.ts";

/** Versions and machine of this process. */
const currentSchema = z.strictObject({
  mahalo: z.string().describe("Version of mahalo."),
  node: z.string(),
  libtorch: z.string(),
  cuda: z.boolean().describe("Whether libtorch found a GPU."),
  system: z.string(),
  processor: z.string(),
  instructionSet: z.string().describe("Instruction set that our kernels use."),
  auto: z.enum(["f32", "bf16"]).describe("Precision that `auto` means here."),
  cores: z.int(),
  memoryBytes: z.number(),
});

/** Versions and machine of one run; earlier versions wrote no instruction set and no precision. */
export const provenanceSchema = currentSchema.partial({ instructionSet: true, auto: true });

/** Versions and machine of one run. */
export type Provenance = z.infer<typeof provenanceSchema>;

const packageFile = fileURLToPath(new URL("../../../package.json", import.meta.url));

/** Version of mahalo, out of its package.json. */
export const mahaloVersion = async (): Promise<string> =>
  (await readJsonFile(packageFile, z.looseObject({ version: z.string() }))).version;

/** Versions and machine of this process. */
export const provenance = async (): Promise<z.infer<typeof currentSchema>> => ({
  mahalo: await mahaloVersion(),
  node: process.versions.node,
  libtorch: torchVersion(),
  cuda: hasCuda(),
  system: `${platform()} ${release()} ${process.arch}`,
  processor: cpus()[0]?.model.trim() ?? "unknown",
  instructionSet: instructionSet(),
  auto: computeDType("auto") === "bfloat16" ? "bf16" : "f32",
  cores: cpus().length,
  memoryBytes: totalmem(),
});
