/** The named steps that a column map may put a picked value through; a new step is one entry of the table. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { valueAt } from "../../core/issues.ts";
import { element } from "../../core/need.ts";
import { safeLength } from "../../core/pattern-cost.ts";
import { overdue, withinTime } from "../../core/time-limit.ts";
import { isPath, parsePath, pick } from "./field-path.ts";
import { checkMessages, type Message, rawMessagesSchema, roles } from "./messages.ts";
import { RowProblem } from "./problems.ts";
import { splitTranscript, transcriptSchema } from "./transcript.ts";

/** A value to a value; throws RowProblem where the row does not fit. */
export type Transform = (value: unknown) => unknown;

type Step = { schema: z.ZodType; compile(options: unknown): Transform };

const step = <Schema extends z.ZodType>(
  schema: Schema,
  build: (options: z.output<Schema>) => Transform,
): Step => ({ schema, compile: (options) => build(schema.parse(options)) });

const isRegExp = (source: string, flags: string): boolean => {
  try {
    new RegExp(source, flags);
    return true;
  } catch {
    return false;
  }
};

const pattern = z.string().min(1);
const flags = z
  .string()
  .regex(/^[imsu]*$/, { error: "may hold the flags i, m, s and u" })
  .default("")
  .describe("Flags of the regular expression: i, m, s, u.");
const compiles = ({ pattern: source, flags: letters }: { pattern: string; flags: string }): boolean =>
  isRegExp(source, letters);
const broken = { error: "is not a regular expression" };

/** Milliseconds that a regular expression may take on one value; a usual one takes well under 1. */
const timeLimit = 1000;

/**
 * Runs a step's regular expression on a text, and ends it where it takes time without bound.
 *
 * @throws MahaloError E_COLUMNS_TIME
 */
const limited = (name: string, expression: RegExp): (<T>(text: string, work: () => T) => T) => {
  const safe = safeLength(expression.source);
  return (value, work) => {
    if (value.length <= safe) return work();
    const result = withinTime(timeLimit, work);
    if (result !== overdue) return result;
    throw new MahaloError(
      "E_COLUMNS_TIME",
      `step ${name}: ${expression} takes longer than ${timeLimit / 1000} s on a text of ${value.length} characters: ${JSON.stringify(value.slice(0, 60))}`,
      {
        hint: "a pattern with a repetition inside a repetition, such as (a+)+, can take forever; write it with one repetition",
      },
    );
  };
};

const cutSchema = z.union([
  pattern.refine((source) => isRegExp(source, ""), broken),
  z.strictObject({ pattern, flags }).refine(compiles, { ...broken, path: ["pattern"] }),
]);
const replaceSchema = z
  .strictObject({ pattern, flags, with: z.string().default("").describe("New text; $1 is the first group.") })
  .refine(compiles, { ...broken, path: ["pattern"] });
const messagesSchema = z.strictObject({
  role: z.string().default("role").describe("Name of the field that holds the role."),
  content: z.string().default("content").describe("Name of the field that holds the text."),
  roles: z
    .record(z.string(), z.enum(roles))
    .default({})
    .describe("Other names of roles, for example {human: user, gpt: assistant}."),
});

const text = (value: unknown, name: string): string => {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw new RowProblem("unmapped-field", `step ${name} wants text, not ${kind(value)}`);
};

const conversation = (value: unknown, name: string): Message[] => {
  const result = rawMessagesSchema.safeParse(value);
  if (result.success) return checkMessages(result.data, "messages");
  throw new RowProblem("unmapped-field", `step ${name} wants messages, not ${kind(value)}`);
};

const kind = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "a list"
      : typeof value === "object"
        ? "an object"
        : typeof value;

/** A step without options, written as its bare name. */
const bare = (apply: Transform): Step => step(z.literal(true), () => apply);

const steps = {
  /** White space off both ends. */
  trim: bare((value) => text(value, "trim").trim()),
  /** The part that a regular expression finds: its first group, or all of the match. */
  cut: step(cutSchema, (options) => {
    const expression =
      typeof options === "string" ? new RegExp(options) : new RegExp(options.pattern, options.flags);
    const run = limited("cut", expression);
    return (value) => {
      const whole = text(value, "cut");
      const match = run(whole, () => expression.exec(whole));
      if (match !== null) return match[1] ?? match[0];
      throw new RowProblem("unmapped-field", `step cut: nothing matches ${expression}`);
    };
  }),
  /** Every match of a regular expression by another text. */
  replace: step(replaceSchema, (options) => {
    const expression = new RegExp(options.pattern, `g${options.flags}`);
    const run = limited("replace", expression);
    return (value) => {
      const whole = text(value, "replace");
      return run(whole, () => whole.replace(expression, options.with));
    };
  }),
  /** Of every item of a list, the value at a path; null where the item has null there. */
  each: step(z.string().refine(isPath, { error: "is not a path into an item" }), (path) => {
    const where = parsePath(path);
    return (value) => {
      if (Array.isArray(value)) {
        return value.map((item: unknown) => (valueAt(item, where) === null ? null : pick(item, where)));
      }
      throw new RowProblem("unmapped-field", `step each wants a list, not ${kind(value)}`);
    };
  }),
  /** The texts of a list as one text. */
  join: step(z.string(), (between) => (value) => {
    if (!Array.isArray(value))
      throw new RowProblem("unmapped-field", `step join wants a list, not ${kind(value)}`);
    return value.map((item) => text(item, "join")).join(between);
  }),
  /** A text with speaker labels as messages. */
  transcript: step(
    transcriptSchema,
    (options) => (value) => splitTranscript(text(value, "transcript"), options),
  ),
  /** Messages whose fields or roles have other names. */
  messages: step(messagesSchema, (options) => {
    const renamed = new Map<string, string>(Object.entries(options.roles));
    return (value) => {
      if (!Array.isArray(value)) {
        throw new RowProblem("unmapped-field", `step messages wants a list, not ${kind(value)}`);
      }
      const raw = value.map((item: unknown) => {
        const fields = new Map(Object.entries(typeof item === "object" && item !== null ? item : {}));
        const role = text(fields.get(options.role), "messages");
        const content = fields.get(options.content);
        return {
          ...Object.fromEntries(fields),
          role: renamed.get(role) ?? role,
          content: typeof content === "object" ? content : text(content, "messages"),
        };
      });
      return conversation(raw, "messages");
    };
  }),
  /** Messages without an empty last turn, which some files end with to ask for the answer. */
  "without-cue": bare((value) => {
    const turns = conversation(value, "without-cue");
    return turns.at(-1)?.content === "" ? turns.slice(0, -1) : turns;
  }),
  /** The text of the last message. */
  "last-turn": bare((value) => conversation(value, "last-turn").at(-1)?.content ?? ""),
} satisfies Record<string, Step>;

const table = new Map<string, Step>(Object.entries(steps));

/** Names of steps that are written bare, as they have no options or all of them have defaults. */
const bareNames = [...table]
  .filter(([, { schema }]) => schema.safeParse(true).success || schema.safeParse({}).success)
  .map(([name]) => name);

/** A step in a recipe: a bare name, or a map of one name to its options. */
export const stepSchema = z
  .union([
    z.enum(bareNames),
    z
      .strictObject(Object.fromEntries([...table].map(([name, { schema }]) => [name, schema.optional()])))
      .refine((value) => Object.keys(value).length === 1, { error: "a step has exactly one name" }),
  ])
  .meta({ id: "RowStep", description: "A step that a picked value goes through." });

/** A step as a recipe writes it. */
export type StepSpec = z.input<typeof stepSchema>;

/** The function of a step that {@link stepSchema} has let through. */
export const compileStep = (spec: StepSpec): Transform => {
  const [name, options] =
    typeof spec === "string" ? [spec, undefined] : element(Object.entries(spec), 0, "step");
  const step = table.get(name);
  if (step === undefined) throw new MahaloError("E_COLUMNS_STEP", `unknown step "${name}"`);
  return step.compile(options ?? (step.schema.safeParse(true).success ? true : {}));
};
