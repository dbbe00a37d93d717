/** Memory of keys and values in pages, for tests in which it runs short. */
import type { LanguageModel } from "../../model/folder/load.ts";
import { pageBytes } from "../kv/kv-pages.ts";

/** Bytes of so many pages. */
export const pages = ({ config, backbone }: LanguageModel, count: number): number => {
  const { layers, kvHeads, headDim } = config;
  return count * pageBytes({ layers, kvHeads, headDim, dtype: backbone.compute, device: "cpu" });
};
