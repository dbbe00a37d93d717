/** The tree that a search leaves behind: candidates, scores, the chosen path and what it cost, as a versioned document. */
import { z } from "zod";
import { freeName } from "../core/names.ts";
import { textOrMessagesSchema } from "../data/rows/messages.ts";
import { finishes } from "../decode/request.ts";

/** Raised when the form of a trace changes. */
export const traceVersion = 1;

const scores = z.record(freeName, z.number());

/** A candidate: one step that goes on from its parent. */
export const nodeSchema = z.strictObject({
  id: z.int().nonnegative(),
  /** None for a first step. */
  parent: z.int().nonnegative().optional(),
  /** Number of its step, from 1. */
  step: z.int().positive(),
  /** The subtree it competes in. */
  group: z.int().nonnegative(),
  text: z.string(),
  /** Tokens of the step. */
  ids: z.array(z.int().nonnegative()),
  /** How many equal candidates it stands for. */
  copies: z.int().positive(),
  /** By objective; none where the search has no scorer or the scorer had no number. */
  scores: scores.optional(),
  /** Its path's value under the user's weights, when it competed last. */
  total: z.number().optional(),
  /** Why the answer ends with it, if it does. */
  finish: z.enum(finishes).optional(),
  /** Whether it was carried on. */
  kept: z.boolean(),
});

/** A whole search. */
export const treeSchema = z.strictObject({
  format: z.literal("mahalo-trace"),
  version: z.literal(traceVersion),
  model: z.string().optional(),
  prompt: textOrMessagesSchema,
  strategy: z.string(),
  /** The search's settings, defaults filled in. */
  settings: z.record(z.string(), z.json()),
  seed: z.int().nonnegative(),
  /** Weights of the heads; none for a model without objectives. */
  mix: z.record(freeName, z.number()).optional(),
  /** Weights of the scores. */
  weights: scores,
  nodes: z.array(nodeSchema),
  /** Ids of the nodes whose texts are the answer, first step first. */
  path: z.array(z.int().nonnegative()),
  tokens: z.strictObject({
    /** Tokens of all candidates, equal ones each counted. */
    generated: z.int().nonnegative(),
    /** Tokens that scorers read, prompts included. */
    scored: z.int().nonnegative(),
    /** Tokens of the answer. */
    answer: z.int().nonnegative(),
  }),
  text: z.string(),
  finish: z.enum(finishes),
});

/** A candidate of a search. */
export type SearchNode = z.infer<typeof nodeSchema>;

/** A search's tree. */
export type SearchTree = z.infer<typeof treeSchema>;
