/** Trees in a file: JSON lines, one search each. */
import { MahaloError } from "@mahalo/torch";
import { parseJson } from "../core/json.ts";
import { writeJsonLines } from "../core/json-lines.ts";
import { readText } from "../core/read-file.ts";
import { type SearchTree, treeSchema } from "./tree.ts";

/** Writes trees, whole or not at all. @throws MahaloError E_FILE_WRITE */
export function writeTraces(path: string, trees: readonly SearchTree[]): Promise<void> {
  return writeJsonLines(path, trees);
}

const hint = "generate --trace writes such files";

/** Refuses a tree whose nodes do not all hang from its root: parents stand before their children, as searches write them. */
const checkTree = (tree: SearchTree, where: string): SearchTree => {
  const before = new Set<number>();
  for (const [index, { id, parent }] of tree.nodes.entries()) {
    const wrong = (what: string): MahaloError =>
      new MahaloError("E_TRACE", `${where}: nodes[${index}].${what}`, { hint });
    if (before.has(id)) throw wrong(`id: there is a node ${id} before it`);
    if (parent !== undefined && !before.has(parent))
      throw wrong(`parent: there is no node ${parent} before node ${id}`);
    before.add(id);
  }
  return tree;
};

/**
 * Reads trees.
 *
 * @throws MahaloError E_FILE_READ; E_TRACE naming line and field; E_TRACE_EMPTY
 */
export const readTraces = async (path: string): Promise<SearchTree[]> => {
  const text = await readText(path);
  const trees = text
    .split("\n")
    .flatMap((line, index) =>
      line.trim() === ""
        ? []
        : [
            checkTree(
              parseJson(line, treeSchema, `${path}:${index + 1}`, { code: "E_TRACE", hint }),
              `${path}:${index + 1}`,
            ),
          ],
    );
  if (trees.length > 0) return trees;
  throw new MahaloError("E_TRACE_EMPTY", `${path}: holds no trace`);
};
