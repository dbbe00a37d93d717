/** Facts about what identifies a recipe's model, and about models that are nowhere. */
import { expect, test } from "vitest";
import { packagedModel } from "../model/folder/packaged.ts";
import { modelHash } from "./sources.ts";

test.runIf(packagedModel("smollm2-135m-instruct"))(
  "the same model has the same hash by name and by path",
  async () => {
    const path = packagedModel("smollm2-135m-instruct") ?? "";
    expect(await modelHash("smollm2-135m-instruct")).toBe(await modelHash(path));
  },
);

test("a path where no model lies is told as such, not as a hub id that is none", async () => {
  await expect(modelHash("runs/none/align/model")).rejects.toMatchObject({
    code: "E_MODEL_UNKNOWN",
    message: expect.stringContaining("runs/none/align/model: no such model"),
  });
});
