/** mahalo setup: fetch libtorch and the base model, and compile the addon, where that has not been done. */
import { MahaloError } from "@mahalo/torch";
import type { Command } from "commander";
import { command, type Io } from "./command.ts";

/** Sets up; what is there already is left as it is. The first command of an installed package does the same. */
export const setupCommand = (_io: Io): Command =>
  command({
    name: "setup",
    summary: "Fetch libtorch and the base model and compile the addon; only what is missing.",
    examples: [
      ["mahalo setup", "all of it, into ~/.cache/mahalo"],
      ["LIBTORCH=/opt/libtorch mahalo setup", "with your own libtorch"],
    ],
  }).action(async () => {
    // No other command needs what fetches and compiles.
    const { setUp } = await import("@mahalo/torch/setup");
    if (await setUp()) return;
    throw new MahaloError("E_SET_UP", "set-up is not complete", { hint: "see the lines above" });
  });
