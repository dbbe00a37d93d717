/** Registries: what recipes and settings choose by name, and programs can add to. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { isFreeName } from "./names.ts";
import { didYouMean } from "./suggest.ts";

/** Names that were added to any registry. */
const added = new Set<string>();

/** Names that were added to any registry. */
export const addedNames = (): ReadonlySet<string> => added;

/** How often anything was added to any registry; schemas that were made out of them before are made again. */
let additions = 0;

/** Things of one sort by name, in the order in which they were added. */
export class Registry<T> {
  /** What the things are, for messages: "preference loss". */
  readonly what: string;
  #items: Map<string, T>;

  constructor(what: string, items: Readonly<Record<string, T>>) {
    this.what = what;
    this.#items = new Map(Object.entries(items));
  }

  /** All names. */
  get names(): string[] {
    return [...this.#items.keys()];
  }

  /** All things. */
  get items(): T[] {
    return [...this.#items.values()];
  }

  has(name: string): boolean {
    return this.#items.has(name);
  }

  /**
   * Adds a thing; recipes and settings may name it from then on.
   *
   * @param after where the order counts, the name of the one that it comes behind. Default: the last.
   * @throws MahaloError E_REGISTRY where the name is taken, or is none that a recipe could hold
   */
  add(name: string, item: T, { after }: { after?: string } = {}): void {
    const refuse = (fault: string): never => this.refuse(name, fault, "choose another name");
    if (this.#items.has(name)) refuse("is registered already");
    if (typeof name !== "string" || !/^[A-Za-z][\w.-]{0,63}$/.test(name))
      refuse("a name is a letter, then at most 63 letters, digits, '.', '_' or '-'");
    if (/^(true|false|null|yes|no|on|off)$/i.test(name)) refuse("YAML reads it as a value, not as a name");
    if (!isFreeName(name)) refuse("is a name that the language keeps for itself");
    const items = [...this.#items];
    const place = after === undefined ? items.length : this.names.indexOf(after) + 1;
    if (place === 0 && after !== undefined) refuse(`must come after "${after}", which is not registered`);
    this.#items = new Map(items.toSpliced(place, 0, [name, item]));
    added.add(name);
    additions += 1;
  }

  /** Refuses a thing that a program would add. @throws MahaloError E_REGISTRY */
  refuse(
    name: unknown,
    fault: string,
    hint = "see the guide on adding your own (docs/guides/extend.md)",
  ): never {
    const message = `${this.what} ${JSON.stringify(name)}: ${fault}`;
    throw new MahaloError("E_REGISTRY", message, { hint, exitStatus: 1 });
  }

  /**
   * A thing by its name.
   *
   * @param where what the error begins with, for example the field of a recipe
   * @throws MahaloError `code`, by default E_REGISTRY_UNKNOWN, with the nearest name
   */
  get(name: string, { where, code = "E_REGISTRY_UNKNOWN" }: { where?: string; code?: string } = {}): T {
    const item = this.#items.get(name);
    if (item !== undefined) return item;
    const begin = where === undefined ? "" : `${where}: `;
    throw new MahaloError(code, `${begin}unknown ${this.what} "${name}"`, {
      hint: didYouMean(name, this.names),
    });
  }

  /**
   * Schema of a name.
   *
   * @param describe what the schema's description says of all things
   */
  schema(describe?: (items: [name: string, item: T][]) => string): z.ZodType<string, string> {
    return lateSchema(() => {
      const names = z.enum(this.names);
      return describe === undefined ? names : names.describe(describe([...this.#items]));
    });
  }
}

/**
 * A schema that is made of registries: made when it is first used, and again after something was added.
 *
 * Put default values and the like around it; descriptions belong inside.
 */
export function lateSchema<Output, Input>(build: () => z.ZodType<Output, Input>): z.ZodType<Output, Input> {
  let built: { schema: z.ZodType<Output, Input>; additions: number } | undefined;
  const current = (): z.ZodType<Output, Input> => {
    if (built?.additions !== additions) built = { schema: build(), additions };
    return built.schema;
  };
  const schema = z.lazy(current);
  // A lazy schema keeps the first that it is given; this one asks each time.
  Object.defineProperty(schema._zod, "innerType", { get: current });
  return schema;
}
