/** Gives every test file an empty working folder of its own: what runs left in the clone is nothing that a test may see. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
// Inside the clone, where Node finds the packages by their names.
const build = join(root, "build");
mkdirSync(build, { recursive: true });
const folder = mkdtempSync(join(build, "tests-"));
process.chdir(folder);

afterAll(() => {
  process.chdir(root);
  rmSync(folder, { recursive: true, force: true });
});
