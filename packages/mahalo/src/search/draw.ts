/** A search's tree drawn for the terminal: steps as levels, candidates with their scores, the chosen path marked. */
import type { SearchNode, SearchTree } from "./tree.ts";

/** Options of {@link drawTree}. */
export type DrawOptions = {
  /** Columns. Default 100. */
  width?: number | undefined;
  /** Show the candidates that were not carried on. Default true. */
  all?: boolean | undefined;
};

const oneLine = (text: string, width: number): string => {
  const flat = text.trim().replaceAll(/\s+/g, " ");
  return flat.length > width ? `${flat.slice(0, Math.max(0, width - 1))}…` : flat;
};

const scoresOf = ({ scores = {}, total }: SearchNode): string => {
  const named = Object.entries(scores).map(([name, score]) => `${name} ${score.toFixed(3)}`);
  const weighed = total === undefined || named.length < 2 ? [] : [`total ${total.toFixed(3)}`];
  return [...named, ...weighed].join(" ");
};

const promptText = ({ prompt }: SearchTree): string =>
  typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join(" / ");

/**
 * The tree as lines: `●` is on the chosen path, `○` was carried on, `·` was not; `×3` stands for three equal candidates.
 */
export const drawTree = (tree: SearchTree, { width = 100, all = true }: DrawOptions = {}): string => {
  const path = new Set(tree.path);
  const children = new Map<number | undefined, SearchNode[]>();
  for (const node of tree.nodes) {
    if (!all && !node.kept && !path.has(node.id)) continue;
    const siblings = children.get(node.parent) ?? [];
    siblings.push(node);
    children.set(node.parent, siblings);
  }
  const lines: string[] = [];
  // A list of what is left to draw and no recursion: a long answer of short steps is a deep tree.
  const open: { node: SearchNode; indent: string; last: boolean }[] = [];
  const enter = (parent: number | undefined, indent: string): void => {
    const siblings = children.get(parent) ?? [];
    open.push(
      ...siblings.map((node, index) => ({ node, indent, last: index === siblings.length - 1 })).reverse(),
    );
  };
  enter(undefined, "");
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { node, indent, last } = next;
    const mark = path.has(node.id) ? "●" : node.kept ? "○" : "·";
    const copies = node.copies > 1 ? ` ×${node.copies}` : "";
    const end = node.finish === undefined ? "" : ` ■ ${node.finish}`;
    const head = `${indent}${last ? "└" : "├"}${mark} `;
    const scores = scoresOf(node);
    const tail = `${copies}${scores === "" ? "" : `  ${scores}`}${end}`;
    lines.push(`${head}${oneLine(node.text, width - head.length - tail.length)}${tail}`);
    enter(node.id, `${indent}${last ? "  " : "│ "}`);
  }
  const mix = Object.entries(tree.mix ?? {}).map(([name, weight]) => `${name}=${weight.toFixed(2)}`);
  const weights = Object.entries(tree.weights).map(([name, weight]) => `${name}:${weight}`);
  const { generated, scored, answer } = tree.tokens;
  return [
    oneLine(promptText(tree), width),
    [
      tree.strategy,
      ...(mix.length > 0 ? [`heads ${mix.join(",")}`] : []),
      ...(weights.length > 0 ? [`guides ${weights.join(",")}`] : []),
      `seed ${tree.seed}`,
    ].join(" · "),
    ...lines,
    `${answer} tokens in the answer, ${generated} generated, ${scored} scored; ended: ${tree.finish}`,
    "",
  ].join("\n");
};
