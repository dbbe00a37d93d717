/** Names on the hub: checked, since they become paths and addresses. */
import { MahaloError } from "@mahalo/torch";

/** What a repository on the hub holds. */
export type RepoKind = "model" | "dataset";

/** A repository at one revision. */
export type Repo = {
  kind: RepoKind;
  /** `owner/name`. */
  id: string;
  /** Branch, tag or commit. */
  revision: string;
};

const part = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?$/;
const commit = /^[0-9a-f]{40}$/;

/** Whether a text has the form of a hub id: two plain names with a slash between. */
export const isRepoId = (text: string): boolean => {
  const parts = text.split("/");
  return parts.length === 2 && parts.every((name) => part.test(name)) && !/--|\.\./.test(text);
};

/** Whether a revision is a whole commit hash, which never changes its meaning. */
export const isCommit = (revision: string): boolean => commit.test(revision);

/** Whether a text is a relative path that stays below its folder, on every system. */
export const isRelativePath = (text: string): boolean =>
  text !== "" &&
  !/[\\:]/.test(text) &&
  ![...text].some((character) => character < " ") &&
  text.split("/").every((name) => name !== "" && name !== "." && name !== "..");

/**
 * A checked repository.
 *
 * @throws MahaloError E_HUB_NAME
 */
export const checkRepo = (kind: RepoKind, id: string, revision = "main"): Repo => {
  if (!isRepoId(id)) {
    throw new MahaloError("E_HUB_NAME", `"${id}" is not a hub id`, {
      hint: "write owner/name, for example HuggingFaceTB/SmolLM2-135M-Instruct",
    });
  }
  if (!isRelativePath(revision)) {
    throw new MahaloError("E_HUB_NAME", `${id}: "${revision}" is not a revision`, {
      hint: "name a branch, a tag or a commit",
    });
  }
  return { kind, id, revision };
};

/** @throws MahaloError E_HUB_NAME unless `file` is a path below the repository's root. */
export const checkFile = (repo: Repo, file: string): void => {
  if (isRelativePath(file)) return;
  throw new MahaloError("E_HUB_NAME", `${repo.id}: "${file}" is not the name of a file in a repository`, {
    hint: "name the file as the hub shows it, for example data/train.jsonl",
  });
};

/** Address of a file in a repository. */
export const fileUrl = (endpoint: string, repo: Repo, file: string): string => {
  const path = file.split("/").map(encodeURIComponent).join("/");
  const prefix = repo.kind === "dataset" ? "datasets/" : "";
  return `${endpoint}/${prefix}${repo.id}/resolve/${encodeURIComponent(repo.revision)}/${path}`;
};

/** Address of a repository's description, which lists its files. */
export const infoUrl = (endpoint: string, repo: Repo): string =>
  `${endpoint}/api/${repo.kind}s/${repo.id}/revision/${encodeURIComponent(repo.revision)}`;
