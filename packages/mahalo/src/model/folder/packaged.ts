/** Models that set-up fetches and keeps in the user's cache folder. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder, MahaloError, SET_UP_COMMAND } from "@mahalo/torch";

/** File of each packaged model, by its name. */
const packagedFiles = new Map([["smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"]]);

/** Names of the packaged models. */
export const packagedNames: readonly string[] = [...packagedFiles.keys()];

/**
 * Path of a packaged model's file, or undefined where there is no model of that name.
 *
 * @throws MahaloError E_MODEL_NOT_SET_UP: set-up has not fetched it.
 */
export const packagedModel = (
  name: string,
  environment: NodeJS.ProcessEnv = process.env,
): string | undefined => {
  const file = packagedFiles.get(name);
  if (file === undefined) return undefined;
  const path = join(cacheFolder(environment), "models", name, file);
  if (existsSync(path)) return path;
  throw new MahaloError("E_MODEL_NOT_SET_UP", `${name}: ${path} is not there`, {
    hint: `run \`${SET_UP_COMMAND}\`, which fetches it`,
  });
};
