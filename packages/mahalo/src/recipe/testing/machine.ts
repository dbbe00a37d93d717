/** A machine of given speeds, so that tests of plans measure nothing. */

import type { Machine } from "../speeds.ts";
import type { Speeds } from "../work.ts";

/** Speeds of about a SmolLM2-135M on two cores in f32. */
export const fixedSpeeds: Speeds = {
  forward: 5e-5,
  train: 15e-5,
  lora: 12e-5,
  attention: 25e-9,
  attentionTrain: 75e-9,
  head: 4e-4,
  headTrain: 12e-4,
  update: 1e-9,
  prefill: 5e-5,
  step: [
    { rows: 1, layer: 5e-4, head: 4e-3 },
    { rows: 16, layer: 2e-3, head: 1e-2 },
  ],
};

/** A machine that nothing else runs on, unless told otherwise. */
export const fixedMachine = ({ busy = false } = {}): Machine => ({
  speeds: async () => ({ speeds: fixedSpeeds, of: "quiet" }),
  busy: async () => busy,
});
