/** mahalo trace: draw the trees that a guided search has left in a file. */
import type { Command } from "commander";
import { drawTree } from "../search/draw.ts";
import { readTraces } from "../search/trace-file.ts";
import { type CommonOptions, command, type Io, outputOf, usage } from "./command.ts";
import { number } from "./sampling-options.ts";

type TraceOptions = CommonOptions & { row?: number; kept?: boolean; width?: number };

/** Draws traces: candidates, scores, the chosen path, tokens spent. */
export const traceCommand = (io: Io): Command =>
  command({
    name: "trace",
    summary: "Draw what a guided search tried: candidates, scores and the chosen path.",
    examples: [
      ["mahalo trace trace.jsonl", "every search of the file"],
      ["mahalo trace trace.jsonl --row 3 --kept", "the third one, only with candidates that continued"],
    ],
  })
    .argument("<file>", "file that generate --trace wrote")
    .option("--row <n>", "draw only the search with this number, from 1", number)
    .option("--kept", "leave out candidates that did not continue")
    .option("--width <n>", "columns; default: the terminal's, else 100", number)
    .action(
      async (file: string, { row, kept, width = process.stdout.columns ?? 100, ...common }: TraceOptions) => {
        const output = outputOf(io, common);
        const all = await readTraces(file);
        const trees = row === undefined ? all : all.slice(row - 1, row);
        if (row !== undefined && trees.length === 0)
          throw usage(`--row ${row}: the file has ${all.length} searches`);
        output.result(trees, () =>
          trees.map((tree) => drawTree(tree, { width, all: kept !== true })).join("\n"),
        );
      },
    );
