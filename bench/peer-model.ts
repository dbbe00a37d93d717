/** The packaged model as a plain Hugging Face folder, so that the peers train and decode the very weights that we do. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadModel } from "../packages/mahalo/src/model/folder/load.ts";
import { saveModel } from "../packages/mahalo/src/model/folder/save.ts";

/** Model that the benches run. */
export const benchModel = "smollm2-135m-instruct";

/** Folder for what benches make; git does not see it. */
export const benchFolder = fileURLToPath(new URL("../build/bench", import.meta.url));

/** Path of the folder, in float32; written the first time. */
export const peerModel = async (): Promise<string> => {
  const folder = join(benchFolder, benchModel);
  if (existsSync(join(folder, "mahalo.json"))) return folder;
  const model = await loadModel(benchModel);
  try {
    await saveModel(model, folder, { dtype: "float32", provenance: { model: benchModel } });
  } finally {
    model.dispose();
  }
  return folder;
};
