/** Verdicts cached on disk by content: what a judge has judged once it is not asked again, not even after a crash. */
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { cachedLines } from "../core/cached-lines.ts";
import { ensureDir, hashBytes, hashFile } from "../core/files.ts";
import { canonicalJson } from "../core/json.ts";
import { JsonlWriter } from "../core/json-lines.ts";
import { element } from "../core/need.ts";
import { messageKey } from "../data/rows/messages.ts";
import { itemName, type Judge, type JudgedItem, type Verdict } from "./types.ts";

/** Options of {@link cachedJudge}. */
export type KeptOptions = {
  /** Folder of the verdicts; made where it is missing. */
  folder: string;
  /** What of the judge its verdicts depend on; anything that JSON can hold. */
  content: unknown;
  /** Files whose content its verdicts depend on too, each by the name of its option. Default: none. */
  files?: readonly { option: string; path: string }[];
};

const lineSchema = z.strictObject({ key: z.string(), score: z.number().nullable(), reason: z.string() });

/**
 * The hash of all that the verdict on an item depends on beside the judge: prompt, response and reference. Undefined
 * where the reference is no plain data, so that two that differ might look alike.
 */
export const itemKey = ({ prompt, response, reference }: JudgedItem): string | undefined => {
  const plain = z.json().optional().safeParse(reference);
  if (!plain.success) return undefined;
  const turns = prompt.map(messageKey);
  return hashBytes(canonicalJson([turns, response, plain.data === undefined ? [] : [plain.data]]));
};

/** Reads a file of verdicts. */
const readVerdicts = async (path: string): Promise<Map<string, Verdict>> => {
  const verdicts = new Map<string, Verdict>();
  for await (const { key, score, reason } of cachedLines(path, lineSchema))
    verdicts.set(key, { score, reason });
  return verdicts;
};

/** Equal items, which get one verdict; without a key it is not kept. */
type Group = { key: string | undefined; item: JudgedItem; places: number[] };

/** The same error, with where its user finds what was judged before it. */
const withPlace = (error: unknown, added: number, path: string): unknown => {
  if (!(error instanceof MahaloError) || added === 0) return error;
  const kept = `${added} new verdict${added === 1 ? " is" : "s are"} kept in ${path}`;
  return new MahaloError(error.code, error.message, {
    hint: error.hint === undefined ? kept : `${error.hint}; ${kept}`,
    exitStatus: error.exitStatus,
    cause: error,
  });
};

/**
 * A judge that keeps its verdicts: JSON lines in `<folder>/<judge>-<hash>.jsonl`, one file for each judge and content
 * of its options and files, one line for each hash of prompt, response and reference.
 *
 * Each verdict is written as soon as it is there, whole lines only, and synced at the end of each call: a run that is
 * killed loses none that was told, and one that ends in an error goes on from there. Items that are equal are judged
 * once. The files may be deleted at any time.
 *
 * One process at a time may write to a folder; a run's folder is locked.
 */
export const cachedJudge = (judge: Judge, { folder, content, files = [] }: KeptOptions): Judge => {
  let opened: Promise<{ path: string; verdicts: Map<string, Verdict> }> | undefined;
  const open = async () => {
    const hashes = await Promise.all(
      files.map(async ({ option, path }) => [option, await hashFile(path)] as const),
    );
    const hash = hashBytes(canonicalJson({ content, files: Object.fromEntries(hashes) }));
    const path = join(folder, `${judge.name}-${hash.slice(0, 16)}.jsonl`);
    return { path, verdicts: await readVerdicts(path) };
  };

  const score: Judge["score"] = async (items, { signal, onVerdict } = {}) => {
    opened ??= open();
    const { path, verdicts } = await opened;
    const results = new Map<number, Verdict>();
    const tell = (places: readonly number[], verdict: Verdict): void => {
      for (const place of places) {
        results.set(place, verdict);
        onVerdict?.(place, verdict);
      }
    };

    const groups = new Map<string, Group>();
    for (const [index, item] of items.entries()) {
      const key = itemKey(item);
      const cached = key === undefined ? undefined : verdicts.get(key);
      if (cached !== undefined) tell([index], cached);
      else {
        const name = key ?? `item ${index}`;
        const group = groups.get(name) ?? {
          key,
          item: { ...item, where: itemName(item, index) },
          places: [],
        };
        group.places.push(index);
        groups.set(name, group);
      }
    }
    if (groups.size > 0) {
      const asked = [...groups.values()];
      await ensureDir(folder);
      const file = new JsonlWriter(path, { append: true });
      let added = 0;
      const take = (index: number, verdict: Verdict): void => {
        const group = asked[index];
        if (group === undefined || results.has(element(group.places, 0))) return;
        if (group.key !== undefined) {
          file.write({ key: group.key, score: verdict.score, reason: verdict.reason });
          verdicts.set(group.key, verdict);
          added += 1;
        }
        tell(group.places, verdict);
      };
      try {
        const fresh = await judge.score(
          asked.map(({ item }) => item),
          { signal, onVerdict: take },
        );
        // A judge that judges all in one go need not tell of each.
        for (const [index, verdict] of fresh.entries()) take(index, verdict);
      } catch (error) {
        throw withPlace(error, added, path);
      } finally {
        file.close();
      }
    }
    return items.map((item, index) => {
      const verdict = results.get(index);
      if (verdict !== undefined) return verdict;
      throw new MahaloError("E_JUDGE", `judge "${judge.name}" gave no verdict on ${itemName(item, index)}`, {
        exitStatus: 1,
      });
    });
  };
  return { name: judge.name, score, dispose: () => judge.dispose?.() };
};
