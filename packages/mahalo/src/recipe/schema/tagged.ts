/** Recipe schemas out of registries: one form for each registered thing, told apart by its name. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { lateSchema, type Registry } from "../../core/registry.ts";

/** An object that carries its form's name under `tag`, beside the form's own options. */
export type Tagged<Tag extends string> = { [key in Tag]: string } & Record<string, unknown>;

/**
 * The union of all registered things' options, each with its name under `tag`.
 *
 * A thing that is added to its registry so becomes a form of the recipe, of the editors' schema and of the error
 * messages without another line.
 *
 * @throws MahaloError E_REGISTRY when options are not an object schema, which is a mistake in the thing
 */
export const taggedUnion = <Tag extends string>(
  tag: Tag,
  registry: Registry<{ options: z.ZodType }>,
): z.ZodType<Tagged<Tag>, Tagged<Tag>> =>
  lateSchema(() => {
    const forms = registry.names.map((name) => {
      const { options } = registry.get(name);
      if (options instanceof z.ZodObject) return options.safeExtend({ [tag]: z.literal(name) });
      throw new MahaloError(
        "E_REGISTRY",
        `the options of ${registry.what} "${name}" are not an object schema`,
      );
    });
    const [first, ...rest] = forms;
    if (first === undefined) throw new MahaloError("E_REGISTRY", `no ${registry.what} is registered`);
    // The forms' names are only known at run time, so the precise type is stated here once.
    return z.discriminatedUnion(tag, [first, ...rest]) as unknown as z.ZodType<Tagged<Tag>, Tagged<Tag>>;
  });
