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
  let shown: Sample[] = [];
  for (const { group, label } of standing) {
    const part = group.parts.find(({ seed, asked }) => seed === first.seed && asked === first.asked);
    if (part === undefined) continue;
    const samples = (await readResults(join(part.folder, "results.json"))).sweep?.samples ?? [];
    const called = label === group.name ? label : `${group.name}, ${label}`;
    if (shown.length === 0) shown = samples.map((sample) => ({ ...sample, replies: [] }));
    shown = shown.map((sample, index) => {
      const reply = samples[index]?.replies.find((reply) => reply.label === label);
      return reply === undefined
        ? sample
        : { ...sample, replies: [...sample.replies, { ...reply, label: called }] };
    });
  }
  return shown.filter(({ replies }) => replies.length > 0);
};
