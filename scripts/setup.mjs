/** Set-up of a clone: npm packages, libtorch, the base model and the native addon; does only what is missing. */
import { endOnFailure } from "../packages/mahalo/src/core/failure.mjs";
import { setUp } from "../packages/torch/setup/index.mjs";
import { step } from "../packages/torch/setup/report.mjs";
import { setUpPackages } from "./packages.mjs";

endOnFailure("set-up");
if (!(await setUp(() => step("packages", setUpPackages)))) process.exitCode = 2;
