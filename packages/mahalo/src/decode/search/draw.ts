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
    const own = children.get(node.parent) ?? [];
    own.push(node);
    children.set(node.parent, own);
  }
  const lines: string[] = [];
  const draw = (parent: number | undefined, indent: string): void => {
    const own = children.get(parent) ?? [];
    for (const [at, node] of own.entries()) {
      const last = at === own.length - 1;
      const mark = path.has(node.id) ? "●" : node.kept ? "○" : "·";
      const copies = node.copies > 1 ? ` ×${node.copies}` : "";
      const end = node.finish === undefined ? "" : ` ■ ${node.finish}`;
      const head = `${indent}${last ? "└" : "├"}${mark} `;
      const scores = scoresOf(node);
      const tail = `${copies}${scores === "" ? "" : `  ${scores}`}${end}`;
      lines.push(`${head}${oneLine(node.text, width - head.length - tail.length)}${tail}`);
      draw(node.id, `${indent}${last ? "  " : "│ "}`);
    }
  };
  draw(undefined, "");
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
