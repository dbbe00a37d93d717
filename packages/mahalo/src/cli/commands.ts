/** The commands of mahalo; a new one is one file and one line here, or is added by a program. */
import { Registry } from "../core/registry.ts";
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
import { serveCommand } from "./serve.ts";
import { setupCommand } from "./setup.ts";
import { traceCommand } from "./trace.ts";
import { tuneCommand } from "./tune.ts";

/** Commands by name, in the order in which `--help` lists them. */
export const commands = new Registry<CommandFile>("command", {
  run: runCommand,
  plan: planCommand,
  inspect: inspectCommand,
  generate: generateCommand,
  chat: chatCommand,
  serve: serveCommand,
  rollout: rolloutCommand,
  relabel: relabelCommand,
  pairs: pairsCommand,
  score: scoreCommand,
  trace: traceCommand,
  export: exportCommand,
  report: reportCommand,
  compare: compareCommand,
  tune: tuneCommand,
  schema: schemaCommand,
  setup: setupCommand,
  doctor: doctorCommand,
});
