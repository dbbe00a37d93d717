/** Programs of the user's that add to the registries: which are loaded, and which results depend on them. */
import { addedNames } from "./registry.ts";

const loaded = new Map<string, string>();

/** Notes that a program was loaded. @param hash of its content */
export const noteExtension = (file: string, hash: string): void => {
  loaded.set(file, hash);
};

/** Programs that were loaded, as they were named. */
export const extensionFiles = (): string[] => [...loaded.keys()];

/**
 * Hashes of the programs that a stage's outputs may depend on, by name: all that are loaded where the stage, or anything
 * that its part of the recipe names, was added by a program.
 */
export const extensionsOf = (stage: string, recipe: unknown): [file: string, hash: string][] => {
  if (loaded.size === 0) return [];
  const added = addedNames();
  const text = JSON.stringify(recipe) ?? "";
  const named = added.has(stage) || [...added].some((name) => text.includes(JSON.stringify(name)));
  return named ? [...loaded] : [];
};
