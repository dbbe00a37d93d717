/** What a schema accepts at a place, in words: the keys of its maps, and each form of a union. */
import { z } from "zod";

/** A place inside a value: keys and indices from the outside in. */
export type FieldPath = readonly PropertyKey[];

/** The value at a path, or undefined where the path leads nowhere. */
export const valueAt = (value: unknown, path: FieldPath): unknown =>
  path.reduce<unknown>((inner, part) => {
    if (typeof inner !== "object" || inner === null || !Object.hasOwn(inner, part)) return undefined;
    return Reflect.get(inner, part);
  }, value);

/** The options of a union: of those that a field tells apart, the one that the value has chosen, where it has. */
function optionsOf(union: z.ZodUnion, value: unknown): readonly z.core.$ZodType[] {
  if (!(union instanceof z.ZodDiscriminatedUnion)) return union.def.options;
  const tag = valueAt(value, [union.def.discriminator]);
  const chosen = union.def.options.filter(
    (option) =>
      option instanceof z.ZodObject &&
      option.def.shape[union.def.discriminator]?._zod.values?.has(tag as z.core.util.Primitive) === true,
  );
  return chosen.length > 0 ? chosen : union.def.options;
}

/**
 * The schemas that a value at `path` may be checked by: wrappers taken off, every option of a union followed, or the one
 * that the value has chosen.
 */
export const schemasAt = (schema: z.core.$ZodType, path: FieldPath, value?: unknown): z.core.$ZodType[] => {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault) {
    return schemasAt(schema.def.innerType, path, value);
  }
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodReadonly || schema instanceof z.ZodCatch) {
    return schemasAt(schema.def.innerType, path, value);
  }
  if (schema instanceof z.ZodPipe) {
    return schemasAt(schema.def.in instanceof z.ZodTransform ? schema.def.out : schema.def.in, path, value);
  }
  if (schema instanceof z.ZodLazy) return schemasAt(schema.def.getter(), path, value);
  if (schema instanceof z.ZodUnion) {
    return optionsOf(schema, value).flatMap((option) => schemasAt(option, path, value));
  }
  if (schema instanceof z.ZodIntersection) {
    return [...schemasAt(schema.def.left, path, value), ...schemasAt(schema.def.right, path, value)];
  }
  const [key, ...rest] = path;
  if (key === undefined) return [schema];
  const deeper = valueAt(value, [key]);
  if (schema instanceof z.ZodObject) {
    const inner: z.core.$ZodType | undefined = Object.hasOwn(schema.def.shape, key)
      ? schema.def.shape[String(key)]
      : undefined;
    return inner === undefined ? [] : schemasAt(inner, rest, deeper);
  }
  if (schema instanceof z.ZodRecord) return schemasAt(schema.def.valueType, rest, deeper);
  if (schema instanceof z.ZodArray) return schemasAt(schema.def.element, rest, deeper);
  return [];
};

/**
 * Keys that objects at `path` may have.
 *
 * @param root the value that is checked; where it has chosen among forms that a field tells apart, that form's keys alone.
 */
export const knownKeys = (schema: z.core.$ZodType, path: FieldPath, root?: unknown): string[] => [
  ...new Set(
    schemasAt(schema, path, root).flatMap((inner) =>
      inner instanceof z.ZodObject ? Object.keys(inner.def.shape) : [],
    ),
  ),
];

/** Types in words, by the names that zod gives them. */
export const typeNames: Record<string, string> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "a map",
  record: "a map",
  array: "a list",
  tuple: "a list",
};

/** Keys of a map that are shown; those without a default come first. */
const shownKeys = 4;

/** A map as its keys: `{ lora: { rank, alpha } }`, `{ lastLayers: a whole number }`, `{ path, hub, file, revision, ... }`. */
function mapForm({ def: { shape } }: z.ZodObject): string {
  const keys = Object.entries(shape);
  const needed = keys.filter(([, inner]) => !z.safeParse(inner, undefined).success);
  const shown = needed.length > 0 ? needed : keys.slice(0, shownKeys);
  const parts = shown.map(([key, value]) => {
    const inner = schemasAt(value, []).map(formOf);
    return needed.length > 0 && needed.length < 3 && inner.length === 1 ? `${key}: ${inner[0]}` : key;
  });
  return `{ ${[...parts, ...(shown.length < keys.length ? ["..."] : [])].join(", ")} }`;
}

/** What one schema accepts, in a few words; undefined where there are none for it. */
function formOf(schema: z.core.$ZodType): string | undefined {
  if (schema instanceof z.ZodLiteral) return [...schema.def.values].map(String).join(" or ");
  if (schema instanceof z.ZodEnum) {
    const [last, ...others] = schema.options.map(String).toReversed();
    return others.length === 0 ? last : `${others.toReversed().join(", ")} or ${last}`;
  }
  if (schema instanceof z.ZodObject) return mapForm(schema);
  if (schema instanceof z.ZodNumber && schema.isInt) return typeNames.int;
  return schema instanceof z.ZodType ? typeNames[schema.def.type] : undefined;
}

/** The forms that a value at `path` may have, each in a few words; none where the schema has none there. */
export const formsAt = (schema: z.core.$ZodType, path: FieldPath): string[] => [
  ...new Set(schemasAt(schema, path).flatMap((inner) => formOf(inner) ?? [])),
];
