/** All model families; a new one is a file beside this one and a line here, or is added by a program. */
import { Registry } from "../../core/registry.ts";
import type { ModelFamily } from "./family.ts";
import { llama } from "./llama.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";

/** Families by config.json's `model_type`. */
export const families = new Registry<ModelFamily>("model family", { llama, qwen2, qwen3 });
