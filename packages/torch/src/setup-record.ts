/** What set-up found and built for this clone, as it wrote it down. */
import { existsSync, readFileSync } from "node:fs";
import { z } from "zod";
import { RECORD, SET_UP_COMMAND } from "../setup/paths.mjs";
import { MahaloError } from "./error.ts";

const schema = z.strictObject({
  format: z.literal(1),
  libtorch: z.strictObject({
    folder: z.string(),
    lib: z.string(),
    version: z.string(),
    source: z.enum(["LIBTORCH", "python", "cache"]),
    libraryFolders: z.array(z.string()),
    cuda: z.boolean(),
    fingerprint: z.string(),
  }),
  addon: z.strictObject({ path: z.string(), hash: z.string(), compiler: z.string() }),
  model: z.string(),
});

/** libtorch's place and version, the addon and its compiler, the base model's file. */
export type SetUpRecord = z.infer<typeof schema>;

/**
 * Reads the record of the last set-up.
 *
 * @param path file of the record; by default that of this package.
 * @throws MahaloError `E_TORCH_NOT_BUILT` where set-up has not run, or another version of it wrote the record.
 */
export const readSetUpRecord = (path: string = RECORD): SetUpRecord => {
  const hint = `run: ${SET_UP_COMMAND}`;
  if (!existsSync(path)) throw new MahaloError("E_TORCH_NOT_BUILT", `${path} is not there`, { hint });
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new MahaloError("E_TORCH_NOT_BUILT", `${path} is not valid JSON`, { hint, cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.map(String).join(".") || "the record";
  throw new MahaloError("E_TORCH_NOT_BUILT", `${path}: ${field}: ${issue?.message ?? "has the wrong form"}`, {
    hint,
  });
};
