/** Schema issues as sentences that name the field, with the nearest known key for an unknown one. */
import { z } from "zod";
import { append } from "./append.ts";
import { type FieldPath, formsAt, knownKeys, schemasAt, typeNames, valueAt } from "./schema-forms.ts";
import { didYouMean, nearest } from "./suggest.ts";

export { type FieldPath, valueAt } from "./schema-forms.ts";

/** Says where the value at a path stands, for example `recipe.yaml:7`. */
export type Locate = (path: FieldPath) => string;

type Issue = z.core.$ZodIssue;

/** A path as people write it: `objectives.helpful.pairs` or `rows[3].label`. */
export const formatPath = (path: FieldPath): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");

/** What a value is, in words fit for "not ...". */
const describeValue = (value: unknown): string => {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") {
    const keys = Object.keys(value);
    if (keys.length === 0) return "an empty map";
    const shown = keys.slice(0, 3).map((key) => `"${key.length > 40 ? `${key.slice(0, 37)}...` : key}"`);
    return `a map of ${shown.join(", ")}${keys.length > 3 ? " and more" : ""}`;
  }
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

/** The bound of a size issue in words: "at least 1", "below 1". */
const bound = (issue: Extract<Issue, { code: "too_small" | "too_big" }>): string => {
  if (issue.code === "too_small")
    return `${issue.inclusive === false ? "above" : "at least"} ${issue.minimum}`;
  return `${issue.inclusive === false ? "below" : "at most"} ${issue.maximum}`;
};

const units: Record<string, string> = {
  string: " characters",
  array: " entries",
  tuple: " entries",
  object: " keys",
  record: " keys",
};

/**
 * Of a union's options, the issues of the one that the value comes nearest to: the option whose first failure lies
 * deepest, and of those the one with the fewest failures; undefined when no option gets past the value itself.
 */
const nearestOption = (options: readonly Issue[][]): Issue[] | undefined => {
  const depth = (issues: readonly Issue[]): number => {
    // An unknown key or a wrong field says that the option fits in kind; a wrong type at the top says that it does not.
    if (issues.some((issue) => issue.path.length === 0 && issue.code !== "unrecognized_keys")) return 0;
    return 1 + Math.max(...issues.map((issue) => issue.path.length));
  };
  const fitting = options.filter((issues) => depth(issues) > 0);
  const missing = (issues: readonly Issue[]): number => issues.length;
  return fitting.toSorted((a, b) => missing(a) - missing(b) || depth(b) - depth(a))[0];
};

const sentence = (issue: Issue, value: unknown): string => {
  switch (issue.code) {
    case "invalid_type":
      if (value === undefined) return `is missing; it must be ${typeNames[issue.expected] ?? issue.expected}`;
      return `must be ${typeNames[issue.expected] ?? issue.expected}, not ${describeValue(value)}`;
    case "invalid_value": {
      const allowed = issue.values.map(String);
      const must = allowed.length === 1 ? `must be ${allowed[0]}` : `must be one of ${allowed.join(", ")}`;
      if (value === undefined) return `is missing; it ${must}`;
      const near = typeof value === "string" && allowed.length > 1 ? nearest(value, allowed) : undefined;
      return `${must}, not ${describeValue(value)}${near === undefined ? "" : `. Did you mean "${near}"?`}`;
    }
    case "too_small":
    case "too_big": {
      const unit = units[issue.origin];
      const given = Array.isArray(value) ? value.length : describeValue(value);
      return `must ${unit ? `have ${bound(issue)}${unit}` : `be ${bound(issue)}`}, not ${given}`;
    }
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}, not ${describeValue(value)}`;
    case "invalid_union":
      return `${describeValue(value)} fits none of the forms allowed here`;
    default:
      return issue.message;
  }
};

/** Lines that a message has at most; of longer ones the number of the others is told. */
const mostLines = 10;
/** Characters of a line; keys and values of a hostile file may be of any length. */
const lineLength = 500;

/** The first lines about an issue, and how many there would be in all. */
type Lines = { lines: string[]; total: number };

const gather = (issues: readonly Issue[], linesOf: (issue: Issue) => Lines): Lines => {
  const lines: string[] = [];
  let total = 0;
  for (const issue of issues) {
    if (lines.length >= mostLines) {
      total += issue.code === "unrecognized_keys" ? issue.keys.length : 1;
      continue;
    }
    const inner = linesOf(issue);
    append(lines, inner.lines);
    total += inner.total;
  }
  return { lines, total };
};

/** How far a broken bound reaches, the narrower the smaller; undefined for issues of other kinds. */
const reach = (issue: Issue): number | undefined => {
  if (issue.code === "too_big") return Number(issue.maximum);
  return issue.code === "too_small" ? -Number(issue.minimum) : undefined;
};

/** Of several bounds that a field breaks on one side, the tightest: the others would seem to contradict it. */
const tightest = (issues: readonly Issue[]): Issue[] => {
  const fieldOf = (issue: Issue): string => `${issue.code} ${formatPath(issue.path)}`;
  const narrowest = new Map<string, number>();
  for (const issue of issues) {
    const bound = reach(issue);
    if (bound === undefined) continue;
    const field = fieldOf(issue);
    narrowest.set(field, Math.min(bound, narrowest.get(field) ?? bound));
  }
  return issues.filter((issue) => {
    const bound = reach(issue);
    return bound === undefined || bound === narrowest.get(fieldOf(issue));
  });
};

/** Whether a value is a map with keys of which none belongs to any of the forms allowed, or comes near one that does. */
const isStrange = (value: unknown, allowed: readonly string[]): boolean => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return (
    keys.length > 0 && keys.length <= mostLines && keys.every((key) => nearest(key, allowed) === undefined)
  );
};

const expand = (
  issue: Issue,
  schema: z.core.$ZodType,
  root: unknown,
  base: FieldPath,
  locate: Locate,
): Lines => {
  const path = [...base, ...issue.path];
  const begin = (inner: FieldPath): string => {
    const field = formatPath(inner);
    return field === "" ? `${locate(inner)}:` : `${locate(inner)}: ${field}:`;
  };
  const single = (line: string): Lines => ({ lines: [line], total: 1 });
  if (issue.code === "unrecognized_keys") {
    const allowed = knownKeys(schema, path, root);
    const lines = issue.keys
      .slice(0, mostLines)
      .map((key) => `${begin([...path, key])} unknown key "${key}". ${didYouMean(key, allowed)}`);
    return { lines, total: issue.keys.length };
  }
  const forms = formsAt(schema, path);
  const value = valueAt(root, path);
  const allForms = (): string => {
    const must = `must be ${forms.join(", or ")}`;
    return value === undefined ? `is missing; it ${must}` : `${must}, not ${describeValue(value)}`;
  };
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const best = nearestOption(issue.errors);
    if (best !== undefined && !(forms.length > 1 && isStrange(value, knownKeys(schema, path))))
      return gather(tightest(best), (inner) => expand(inner, schema, root, path, locate));
    return single(`${begin(path)} ${forms.length === 0 ? sentence(issue, value) : allForms()}`);
  }
  // A type that none of several forms has: all of them are told.
  if (issue.code === "invalid_type" && forms.length > 1) return single(`${begin(path)} ${allForms()}`);
  if (issue.code === "invalid_union") {
    // A discriminated union: the field that tells its forms apart is missing or has a value of no form.
    const allowed = schemasAt(schema, path).flatMap((inner) =>
      inner instanceof z.ZodLiteral ? [...inner.values] : inner instanceof z.ZodEnum ? inner.options : [],
    );
    const joined: Issue = { code: "invalid_value", values: allowed, path: [], message: issue.message };
    return single(`${begin(path)} ${sentence(joined, valueAt(root, path))}`);
  }
  if (issue.code === "invalid_key" || issue.code === "invalid_element") {
    return gather(issue.issues, (inner) => single(`${begin(path)} ${sentence(inner, path.at(-1))}`));
  }
  return single(`${begin(path)} ${sentence(issue, valueAt(root, path))}`);
};

/**
 * One line an issue: place, field, what is wrong and, for unknown keys and values, the nearest known one. Of more than
 * ten the last line tells how many more there are.
 *
 * @param root the value that was checked.
 * @param locate what a line begins with, by the field's path.
 */
export const describeIssues = (
  issues: readonly Issue[],
  schema: z.core.$ZodType,
  root: unknown,
  locate: Locate,
): string[] => {
  const { lines, total } = gather(tightest(issues), (issue) => expand(issue, schema, root, [], locate));
  const shown = lines
    .slice(0, mostLines)
    .map((line) => (line.length > lineLength ? `${line.slice(0, lineLength - 3)}...` : line));
  const more = total - shown.length;
  return more > 0 ? [...shown, `${locate([])}: and ${more.toLocaleString("en-US")} more`] : shown;
};
