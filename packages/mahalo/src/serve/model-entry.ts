/** Models as a command line names them: a packaged name, a folder, a hub id, or a run, each with or without a name of its own. */
import { existsSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { isFreeName } from "../core/names.ts";
import type { ModelEntry } from "./engine/protocol.ts";

/** Where a run's folder keeps its model. */
const modelOfRun = join("align", "model");

/** What a folder is called by: the run's name where it is a run or a model inside it. */
const nameOf = (source: string, folder: string): string => {
  if (source.endsWith(modelOfRun)) return basename(resolve(source, "..", ".."));
  return existsSync(folder) ? basename(resolve(folder)).replace(/\.gguf$/, "") : source;
};

const split = (text: string): { name: string | undefined; path: string } => {
  const [, name, path] = /^([^=/]+)=(.+)$/s.exec(text) ?? [];
  return path === undefined ? { name: undefined, path: text } : { name, path };
};

/** The reward models that a run's folder brings, as `serve` takes guides; none for what is no run. */
export const guidesOfRun = (text: string): string[] => {
  const folder = join(split(text).path, "reward");
  if (!existsSync(folder)) return [];
  const models = readdirSync(folder).map((name) => join(folder, name, "model"));
  return models.filter((model) => existsSync(model));
};

/**
 * A model to serve, from `PATH` or `NAME=PATH`; a run's folder stands for its aligned model.
 *
 * @throws MahaloError E_SERVE_OPTION for a name that a request could not carry
 *
 * @example modelEntry("runs/quickstart") // { id: "quickstart", source: "runs/quickstart/align/model" }
 */
export const modelEntry = (text: string): ModelEntry => {
  const { name, path } = split(text);
  const inRun = join(path, modelOfRun);
  const source = existsSync(inRun) ? inRun : path;
  const id = name ?? nameOf(source, path);
  if (/^[\w./:-]{1,256}$/.test(id) && isFreeName(id)) return { id, source };
  throw new MahaloError("E_SERVE_OPTION", `${text}: "${id}" is no name for a model`, {
    hint: "give one of letters, digits and ._- in front: NAME=PATH",
  });
};
