/** Names of what a killed process leaves half written; none of it is ever an output. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isTemporaryName, sweepTemporaries } from "@mahalo/torch";

/** A folder that stood in the way of a new one, under a name that holds its own. */
const aside = /^\.(.+)\.mahalo-[0-9a-f]{12}\.old$/;

/** The name that a folder had before it was moved aside, or undefined for other names. */
export function nameBeforeAside(name: string): string | undefined {
  return aside.exec(name)?.[1];
}

/** Names that earlier versions gave to what was half written. */
const former = [
  /^\.(?:.+\.)?[0-9a-f]{12}\.(?:tmp|old)$/,
  /^checkpoint\.\d+\.tmp$/,
  /^lock\.(?:after-)?[0-9a-f]{12}(?:\.(?:after-)?[0-9a-f]{12})*$/,
];

const isFormer = (name: string): boolean => former.some((pattern) => pattern.test(name));

/** Whether a path of slashes leads to or into something half written. */
export function isLeftover(path: string): boolean {
  return path
    .split("/")
    .some((name) => isTemporaryName(name) || nameBeforeAside(name) !== undefined || isFormer(name));
}

/** Removes what dead processes left half written below a folder, which this process alone works in. */
export function sweepLeftovers(folder: string): void {
  sweepTemporaries(folder);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (isFormer(entry.name)) rmSync(path, { recursive: true, force: true });
    else if (entry.isDirectory() && !isTemporaryName(entry.name)) sweepLeftovers(path);
  }
}
