/** Types of paths.mjs. */
export const CLONE: string | undefined;
export const SET_UP_COMMAND: string;
export const NATIVE: string;
export const BUILD: string;
export const ADDON: string;
export const RECORD: string;
export function cacheFolder(environment?: NodeJS.ProcessEnv): string;
export function packageFolder(name: string): string;
