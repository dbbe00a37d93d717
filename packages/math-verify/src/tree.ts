/** What an answer is once it is read: a tree of numbers, letters, operations, groups, relations and words. */
import type { Rational } from "./rational.ts";

/** A number as it is written. */
export type NumberNode = {
  kind: "number";
  value: Rational;
  /** Digits after the point, for a number written with one; such a number may be a rounded one. */
  digits?: number;
  /** Whether dots say that more digits follow. */
  cut?: boolean;
  /** The base, for a number with one: `1011_2`; `value` is its value, `plain` what the digits alone would say. */
  base?: { base: number; plain: Rational };
};

/** Constants that have names. */
export type ConstantName = "pi" | "e" | "i" | "infinity";

/** Sets that have names. */
export type SetName = "empty" | "reals" | "integers" | "naturals" | "rationals" | "complex";

/** An operation on its arguments; see `evaluate-numeric.ts` for what each means. */
export type CallNode = { kind: "call"; name: string; args: Node[] };

/** Several things in brackets, in braces, or divided by commas and "or" alone. */
export type GroupNode = {
  kind: "group";
  /** `tuple`: ordered, in brackets that may also mean an interval; `set`: in braces; `list`: without brackets. */
  shape: "tuple" | "set" | "list";
  open: string;
  close: string;
  items: Node[];
};

/** Relations, read from left to right: `sides[0] ops[0] sides[1] ops[1] ...`; one side more than operators. */
export type RelationNode = {
  kind: "relation";
  ops: RelationOp[];
  sides: Node[];
  /** How many sides stand before the first "about equal": `x = \\sqrt{2} ≈ 1.41` has two. */
  exactSides?: number;
};

/** Relations between two sides. */
export type RelationOp = "=" | "<" | ">" | "≤" | "≥" | "≠" | "∈";

export type Node =
  | NumberNode
  | CallNode
  | GroupNode
  | RelationNode
  | { kind: "constant"; name: ConstantName }
  | { kind: "variable"; name: string }
  | { kind: "quantity"; value: Node; unit: string }
  | { kind: "matrix"; rows: Node[][] }
  | { kind: "namedSet"; name: SetName }
  | { kind: "text"; text: string };

/** An operation; arguments are nodes. */
export const call = (name: string, ...args: Node[]): CallNode => ({ kind: "call", name, args });

/** The parts of a node, in order. */
export const children = (node: Node): readonly Node[] => {
  switch (node.kind) {
    case "call":
      return node.args;
    case "group":
      return node.items;
    case "relation":
      return node.sides;
    case "quantity":
      return [node.value];
    case "matrix":
      return node.rows.flat();
    default:
      return [];
  }
};

/** Whether a node has at most some levels of parts; it needs no more stack for many than for few. */
export const isWithinDepth = (node: Node, levels: number): boolean => {
  let parts: readonly Node[] = [node];
  for (let level = 0; parts.length > 0; level++) {
    if (level > levels) return false;
    parts = parts.flatMap(children);
  }
  return true;
};

/** Whether a node or one of its parts is what is looked for; parsing bounds the depth. */
export const contains = (node: Node, wanted: (node: Node) => boolean): boolean =>
  wanted(node) || children(node).some((part) => contains(part, wanted));

/** Names of all variables of a node. */
export const variables = (node: Node, names: Set<string> = new Set()): Set<string> => {
  if (node.kind === "variable") names.add(node.name);
  for (const part of children(node)) variables(part, names);
  return names;
};

/** Whether two nodes are written alike, apart from spaces and brackets that change nothing. */
export const sameTree = (a: Node, b: Node): boolean => {
  if (a.kind !== b.kind) return false;
  const [left, right] = [children(a), children(b)];
  if (left.length !== right.length || label(a) !== label(b)) return false;
  return left.every((part, index) => {
    const other = right[index];
    return other !== undefined && sameTree(part, other);
  });
};

/** What a node is, its parts left out. */
const label = (node: Node): string => {
  switch (node.kind) {
    case "number":
      return `${node.value.n}/${node.value.d}`;
    case "constant":
    case "variable":
    case "namedSet":
    case "call":
      return node.name;
    case "group":
      return `${node.shape} ${node.open} ${node.close}`;
    case "relation":
      return node.ops.join(" ");
    case "quantity":
      return node.unit;
    case "matrix":
      return `${node.rows.length}`;
    case "text":
      return node.text;
  }
};
