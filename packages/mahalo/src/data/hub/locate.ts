/** Finds files by path or hub id: the mirror folder first, then Hugging Face's cache, then the hub itself. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { parseJson } from "../../core/json.ts";
import { readTextSync } from "../../core/read-file.ts";
import { didYouMean } from "../../core/suggest.ts";
import { cachedFile, enterRef, snapshotFolder } from "./cache.ts";
import { downloadFile } from "./download.ts";
import {
  checkFile,
  checkRepo,
  infoUrl,
  isCommit,
  isRelativePath,
  type Repo,
  type RepoKind,
} from "./names.ts";
import { insist, nameOf, type Patience, request, usualPatience } from "./request.ts";
import { type HubSettings, hubSettings } from "./settings.ts";

/** A file on this machine, or on the hub. */
export type FileSource =
  | { path: string }
  | {
      /** `owner/name`. */
      hub: string;
      /** Path inside the repository. */
      file: string;
      /** Branch, tag or commit; default `main`. A file under MAHALO_MIRROR has no revisions. */
      revision?: string | undefined;
    };

/** Options of {@link resolveFile} and {@link resolveModelFolder}. */
export type HubOptions = {
  /** What kind of repository a hub id names. Default: `dataset` for files, `model` for model folders. */
  kind?: RepoKind;
  /** Default `process.env`. */
  environment?: NodeJS.ProcessEnv;
  /** Waiting times, for tests. */
  patience?: Patience;
};

const settingsOf = (options: HubOptions): HubSettings => hubSettings(options.environment ?? process.env);

const offlineError = (settings: HubSettings, repo: Repo, file?: string): MahaloError =>
  new MahaloError(
    "E_HUB_OFFLINE",
    `${nameOf(repo, file)}: is neither in the cache ${settings.cache}${settings.mirror ? ` nor under ${settings.mirror}` : ""}, and HF_HUB_OFFLINE forbids fetching it`,
    { hint: "unset HF_HUB_OFFLINE, or put the file under MAHALO_MIRROR as <owner>/<name>/<file>" },
  );

const localFile = (path: string): string => {
  if (existsSync(path)) return path;
  const folder = dirname(path);
  const neighbours = existsSync(folder) && statSync(folder).isDirectory() ? readdirSync(folder) : [];
  throw new MahaloError(
    "E_FILE_READ",
    `${path}: there is no such file. ${didYouMean(basename(path), neighbours)}`,
    {
      hint: "check the path; to take a file from the hub, name its hub id and file",
    },
  );
};

/**
 * A path on this machine for a file that is here or on the hub.
 *
 * A hub file is looked for under MAHALO_MIRROR, then in Hugging Face's cache; only what neither has is downloaded, into
 * that cache. A branch that is cached is not asked for anew: name a commit, or empty the cache, to get another state.
 *
 * @throws MahaloError E_FILE_READ, E_HUB_NAME, E_HUB_OFFLINE, E_HUB_NOT_FOUND, E_HUB_DENIED, E_HUB_UNREACHABLE,
 *   E_HUB_CHECKSUM
 *
 * @example await resolveFile({ hub: "openai/gsm8k", file: "main/train-00000-of-00001.parquet" })
 */
export const resolveFile = async (source: FileSource, options: HubOptions = {}): Promise<string> => {
  if ("path" in source) return localFile(source.path);
  const settings = settingsOf(options);
  const repo = checkRepo(options.kind ?? "dataset", source.hub, source.revision);
  checkFile(repo, source.file);
  const mirrored = settings.mirror === undefined ? undefined : join(settings.mirror, source.hub, source.file);
  if (mirrored !== undefined && existsSync(mirrored)) return mirrored;
  const cached = cachedFile(settings.cache, repo, source.file);
  if (cached !== undefined) return cached;
  if (settings.offline) throw offlineError(settings, repo, source.file);
  return downloadFile(settings, options.patience ?? usualPatience, repo, source.file);
};

const infoSchema = z.looseObject({
  sha: z.string().refine(isCommit, "must be a commit"),
  siblings: z.array(
    z.looseObject({ rfilename: z.string().refine(isRelativePath, "must be a relative path") }),
  ),
});

/** A repository's commit and files, as the hub lists them. */
const listFiles = async (
  settings: HubSettings,
  patience: Patience,
  repo: Repo,
): Promise<{ commit: string; files: string[] }> => {
  const url = infoUrl(settings.endpoint, repo);
  const text = await insist(nameOf(repo), patience, async () =>
    (await request(url, { method: "GET" }, { settings, patience, repo })).text(),
  );
  const info = parseJson(text, infoSchema, url, { code: "E_HUB_PROTOCOL" });
  return { commit: info.sha, files: info.siblings.map(({ rfilename }) => rfilename) };
};

/** Files at a repository's root that make up a model beside its weights. */
const smallFiles = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  // Names the objectives whose heads come with the weights.
  "mahalo.json",
];

const singleFile = "model.safetensors";
const indexFile = "model.safetensors.index.json";
/** Output heads of the objectives, beside the weights that other tools read. */
const headsFile = "heads.safetensors";

/** Of a repository's files, those that hold the weights; other formats and duplicates for other tools are left out. */
const weightFiles = (files: readonly string[]): string[] => {
  const shards = files.filter((file) => /^model-\d+-of-\d+\.safetensors$/.test(file));
  const weights = files.includes(singleFile)
    ? [singleFile]
    : files.includes(indexFile)
      ? [indexFile, ...shards]
      : [];
  return files.includes(headsFile) ? [...weights, headsFile] : weights;
};

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

const shardsOf = (index: string): string[] => [
  ...new Set(Object.values(parseJson(readTextSync(index), indexSchema, index).weight_map)),
];

/** Whether a cached snapshot has all of a model: another tool may have fetched only its config or its tokenizer. */
const isWholeModel = (folder: string): boolean => {
  const files = new Set(readdirSync(folder).filter((file) => existsSync(join(folder, file))));
  if (!files.has("config.json") || !files.has("tokenizer.json")) return false;
  if (files.has(singleFile)) return true;
  return files.has(indexFile) && shardsOf(join(folder, indexFile)).every((shard) => files.has(shard));
};

/**
 * The folder of a hub model, with config, tokenizer and safetensors weights in it; looked for as in {@link resolveFile}.
 *
 * @throws MahaloError as {@link resolveFile}; E_HUB_NO_WEIGHTS where the repository has no safetensors files
 */
export const resolveModelFolder = async (
  id: string,
  revision: string | undefined,
  options: HubOptions = {},
): Promise<string> => {
  const settings = settingsOf(options);
  const patience = options.patience ?? usualPatience;
  const repo = checkRepo(options.kind ?? "model", id, revision);
  const mirrored = settings.mirror === undefined ? undefined : join(settings.mirror, id);
  if (mirrored !== undefined && existsSync(join(mirrored, "config.json"))) return mirrored;
  const cached = snapshotFolder(settings.cache, repo);
  if (cached !== undefined && isWholeModel(cached)) return cached;
  if (settings.offline) throw offlineError(settings, repo);
  const { commit, files } = await listFiles(settings, patience, repo);
  const weights = weightFiles(files);
  if (weights.length === 0) {
    const gguf = files.filter((file) => file.endsWith(".gguf"));
    throw new MahaloError("E_HUB_NO_WEIGHTS", `${nameOf(repo)}: holds no safetensors weights`, {
      hint:
        gguf[0] === undefined
          ? "use a model that comes with safetensors; pickled weights are not read"
          : `name one of its .gguf files, for example ${id}/${gguf[0]}`,
    });
  }
  const pinned = { ...repo, revision: commit };
  let folder = "";
  for (const file of [...smallFiles.filter((name) => files.includes(name)), ...weights]) {
    const path =
      cachedFile(settings.cache, pinned, file) ?? (await downloadFile(settings, patience, pinned, file));
    folder = path.slice(0, path.length - file.length - 1);
  }
  // Only now, so that the name never leads to a part of a model.
  await enterRef(settings.cache, repo, commit);
  return folder;
};
