/** Types of failure.mjs. */
export type Failure = { code: string; message: string; hint: string | undefined; status: 1 | 2 };
export function explainFailure(error: unknown): Failure;
export function isDebugging(): boolean;
export function describeFailure(error: unknown): string;
export function endOnFailure(program: string): void;
