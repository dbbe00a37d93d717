/** The commands of mahalo; a new one is one file and one line here. */

import { chatCommand } from "./chat.ts";
import type { CommandFile } from "./command.ts";
import { compareCommand } from "./compare.ts";
import { doctorCommand } from "./doctor.ts";
import { exportCommand } from "./export.ts";
import { generateCommand } from "./generate.ts";
import { inspectCommand } from "./inspect.ts";
import { pairsCommand } from "./pairs.ts";
import { planCommand } from "./plan.ts";
import { relabelCommand } from "./relabel.ts";
import { reportCommand } from "./report.ts";
import { rolloutCommand } from "./rollout.ts";
import { runCommand } from "./run.ts";
import { schemaCommand } from "./schema.ts";
import { scoreCommand } from "./score.ts";
import { setupCommand } from "./setup.ts";
import { traceCommand } from "./trace.ts";
import { tuneCommand } from "./tune.ts";

/** All commands, in the order in which `--help` lists them. */
export const commands: readonly CommandFile[] = [
  runCommand,
  planCommand,
  inspectCommand,
  generateCommand,
  chatCommand,
  rolloutCommand,
  relabelCommand,
  pairsCommand,
  scoreCommand,
  traceCommand,
  exportCommand,
  reportCommand,
  compareCommand,
  tuneCommand,
  schemaCommand,
  setupCommand,
  doctorCommand,
];
