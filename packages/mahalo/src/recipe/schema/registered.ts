/** The recipe's schemas of judges and generators, made from their registries. */
import { generators } from "../../data/generators/registry.ts";
import { judgeKinds } from "../../judges/registry.ts";
import { taggedUnion } from "./tagged.ts";

/** A judge: its kind and the kind's own options. */
export const judgeSchema = taggedUnion("kind", judgeKinds);

/** A generator: its name and its own options. */
export const generatorSchema = taggedUnion("name", generators);
