/** What the customary environment variables say about the hub: where to ask, what to send, where to keep files. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { readTextSync } from "../../core/read-file.ts";

/** How the hub is reached. */
export type HubSettings = {
  /** Address of the hub, without a slash at the end. */
  endpoint: string;
  /** Sent to the endpoint, and to no other host. */
  token: string | undefined;
  /** Never use the network. */
  offline: boolean;
  /** Hugging Face's cache: `models--<owner>--<name>/{refs,snapshots,blobs}`. */
  cache: string;
  /** A folder laid out as `<owner>/<name>/<file>` that is asked first. */
  mirror: string | undefined;
};

const yes = new Set(["1", "true", "yes", "on"]);

const readToken = (path: string): string | undefined =>
  existsSync(path) ? readTextSync(path).trim() || undefined : undefined;

/**
 * Settings from HF_ENDPOINT, HF_TOKEN (else HF_TOKEN_PATH or the file `token` in HF_HOME), HF_HUB_OFFLINE, HF_HUB_CACHE
 * (else `hub` in HF_HOME, XDG_CACHE_HOME/huggingface or ~/.cache/huggingface) and MAHALO_MIRROR.
 */
export const hubSettings = (environment: NodeJS.ProcessEnv = process.env): HubSettings => {
  const home =
    environment.HF_HOME || join(environment.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  return {
    endpoint: (environment.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, ""),
    token: environment.HF_TOKEN?.trim() || readToken(environment.HF_TOKEN_PATH || join(home, "token")),
    offline: yes.has((environment.HF_HUB_OFFLINE ?? "").toLowerCase()),
    cache: environment.HF_HUB_CACHE || join(home, "hub"),
    mirror: environment.MAHALO_MIRROR || undefined,
  };
};
