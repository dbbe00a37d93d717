/** Sample answers of several runs side by side: the same prompt, answered by each method. */
import { join } from "node:path";
import { readResults, type Sample } from "../results.ts";
import type { RunGroup } from "./compared-runs.ts";

/** A group, and the label of the policy that stands for it. */
type Standing = { group: RunGroup; label: string };

/**
 * The sample prompts of the first group's first seed, each with the replies of every group that was asked the same under
 * that seed. A reply is named by its group, and by its policy where that has another name.
 *
 * @throws MahaloError E_FILE_READ, E_JSON_SYNTAX, E_RESULTS
 */
export const sideBySide = async (standing: readonly Standing[]): Promise<Sample[]> => {
  const first = standing[0]?.group.parts[0];
  if (first === undefined) return [];
  let found: Sample[] = [];
  for (const { group, label } of standing) {
    const part = group.parts.find(({ seed, asked }) => seed === first.seed && asked === first.asked);
    if (part === undefined) continue;
    const own = (await readResults(join(part.folder, "results.json"))).sweep?.samples ?? [];
    const called = label === group.name ? label : `${group.name}, ${label}`;
    if (found.length === 0) found = own.map((sample) => ({ ...sample, replies: [] }));
    found = found.map((sample, index) => {
      const reply = own[index]?.replies.find((reply) => reply.label === label);
      return reply === undefined
        ? sample
        : { ...sample, replies: [...sample.replies, { ...reply, label: called }] };
    });
  }
  return found.filter(({ replies }) => replies.length > 0);
};
