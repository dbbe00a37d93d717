/** Opens a model wherever it lies: a packaged name, a .gguf file, a Hugging Face folder or a hub id. */
import { statSync } from "node:fs";
import { MahaloError } from "@mahalo/torch";
import { didYouMean } from "../../core/suggest.ts";
import { type HubOptions, resolveFile, resolveModelFolder } from "../../data/hub/locate.ts";
import { isRepoId } from "../../data/hub/names.ts";
import { openGguf } from "../gguf/open.ts";
import { withTurnEnd } from "../tokenizer/turn-end.ts";
import { openFolder } from "./folder.ts";
import type { ModelSource } from "./model-source.ts";
import { packagedModel, packagedNames } from "./packaged.ts";

/** Options of {@link openModelSource}. */
export type OpenModelOptions = {
  /** Branch, tag or commit of a hub id. Default `main`. */
  revision?: string;
};

/**
 * The file or folder that a model's name stands for; what lies on a hub is fetched.
 *
 * @param name as {@link openModelSource} takes it
 * @throws MahaloError E_MODEL_UNKNOWN, and what fetching throws
 */
export const locateModel = async (
  name: string,
  revision: string | undefined,
  options: HubOptions = {},
): Promise<{ file: string } | { folder: string }> => {
  const packaged = packagedModel(name);
  if (packaged !== undefined) return { file: packaged };
  const stats = statSync(name, { throwIfNoEntry: false });
  if (stats?.isDirectory()) return { folder: name };
  if (stats?.isFile() && name.endsWith(".gguf")) return { file: name };
  const [owner = "", repository = "", ...rest] = name.split("/");
  const id = `${owner}/${repository}`;
  if (stats === undefined && isRepoId(id)) {
    const file = rest.join("/");
    if (file === "") return { folder: await resolveModelFolder(id, revision, options) };
    if (file.endsWith(".gguf"))
      return { file: await resolveFile({ hub: id, file, revision }, { ...options, kind: "model" }) };
  }
  throw new MahaloError(
    "E_MODEL_UNKNOWN",
    `${name}: ${stats?.isFile() ? "is not a .gguf file" : `no such model. ${didYouMean(name, packagedNames)}`}`,
    { hint: "give a packaged name, the path of a folder or of a .gguf file, or a hub id (owner/name)" },
  );
};

/**
 * Opens a model; weights are read only when its tensors are loaded.
 *
 * @param name a packaged name (`smollm2-135m-instruct`), the path of a .gguf file or of a Hugging Face folder, a hub id
 *   (`owner/name`), or a hub id with a .gguf file (`owner/name/file.gguf`). A path that exists comes before a hub id.
 * @throws MahaloError E_MODEL_UNKNOWN, and what the source's own reader throws.
 */
export const openModelSource = async (name: string, options: OpenModelOptions = {}): Promise<ModelSource> => {
  const location = await locateModel(name, options.revision);
  return withTurnEnd("file" in location ? openGguf(location.file) : openFolder(location.folder));
};
