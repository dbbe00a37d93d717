/** mahalo doctor: print what set-up found and what this machine can do. */
import type { Command } from "commander";
import { describeDiagnosis, diagnose } from "../core/doctor.ts";
import { type CommonOptions, command, type Io, outputOf } from "./command.ts";

/** Shows libtorch, devices, processor, memory and the measured speed of matrix products. */
export const doctorCommand = (io: Io): Command =>
  command({
    name: "doctor",
    summary: "Show libtorch, devices, processor, memory and the measured speed of matrix products.",
    examples: [
      ["mahalo doctor", "if mahalo does not start, or is slower than expected"],
      ["mahalo doctor --json", "for a report"],
    ],
  }).action((options: CommonOptions) => {
    const diagnosis = diagnose();
    outputOf(io, options).result(diagnosis, () => describeDiagnosis(diagnosis));
  });
