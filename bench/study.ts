/**
 * The study: do the method's claims hold on real data? Every domain, seed and method, then a verdict on each claim.
 *
 *   npx tsx bench/study.ts --domains math --methods mah-dpo,dpo-mixed,soup --seeds 3
 *
 * Hours on real recipes; the same command resumes where it was stopped. JSON lines and then Markdown go to stdout.
 */
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeError, MahaloError } from "@mahalo/torch";
import { say } from "./lines.ts";
import { count, names } from "./options.ts";
import type { Study } from "./study/format.ts";
import { type Domain, methodNames } from "./study/plan.ts";
import { runStudy } from "./study/run.ts";
import { studyText } from "./study/tables.ts";
import { tinyDomains } from "./study/tiny.ts";

const domainNames = ["math", "values", "tutoring", "control"] as const;

/** Those that run where none is named; `control` is maths again. */
const defaultDomains = ["math", "values", "tutoring"] as const;

/** The study's own recipes: a domain's, cut to what two cores can do. */
const studyRecipes = fileURLToPath(new URL("study/recipes", import.meta.url));

/** What the study sets of the full recipes, of which that of values guides nothing by itself. */
const setOfFull: Readonly<Record<string, readonly string[]>> = {
  values: ['guide={"prompts":16,"policies":["sft","aligned"],"maxNewTokens":96}'],
};

const usage = `Usage: npx tsx bench/study.ts [options]
  --domains LIST    of ${domainNames.join(", ")} (default: ${defaultDomains.join(", ")})
  --methods LIST    of ${methodNames.join(", ")} (default: all); those that they need are added
  --seeds N         seeds 0 to N - 1 (default 3)
  --out DIR         the study's folder (default: runs/study)
  --records DIR     take the seeds whose records are there as they are, and write new ones there
  --set FIELD=VALUE sets a field of every recipe, or DOMAIN:FIELD=VALUE of one; may be repeated
  --margin X        how far below a rival still counts as near it (default 0.05)
  --full            the recipes of recipes/ in place of the study's own, which are cut to what two cores can do
  --tiny            tiny recipes over a tiny model: seconds, and figures that mean nothing
`;

/** Overrides of one domain: those of all, and those that name it. */
const overridesOf = (domain: string, set: readonly string[]): string[] =>
  set.flatMap((override) => {
    const [, named, field] = /^([a-z]+):(.*)$/s.exec(override) ?? [];
    if (named === undefined || field === undefined) return [override];
    names("set", named, domainNames);
    return named === domain ? [field] : [];
  });

/** One JSON line for each finding of a verdict, as benches print them. */
const printLines = ({ domains }: Study): void => {
  for (const { name, verdicts } of domains)
    for (const verdict of verdicts)
      process.stdout.write(`${JSON.stringify({ bench: "study", data: name, ...verdict })}\n`);
};

const main = async (args: string[]): Promise<void> => {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args,
    options: {
      domains: text,
      methods: text,
      seeds: text,
      out: text,
      records: text,
      margin: text,
      set: { type: "string", multiple: true },
      full: { type: "boolean" },
      tiny: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const tiny = values.tiny === true;
  const asked = names("domains", values.domains ?? defaultDomains.join(","), domainNames);
  const methods = names("methods", values.methods ?? methodNames.join(","), methodNames);
  const margin = Number(values.margin ?? "0.05");
  if (!(margin >= 0 && margin < 1))
    throw new MahaloError("E_BENCH_OPTION", `--margin: "${values.margin}" is no number from 0 to 1`);
  const out = resolve(values.out ?? join("runs", tiny ? "study-tiny" : "study"));
  const full = values.full === true;
  const recipes = full ? fileURLToPath(new URL("../recipes", import.meta.url)) : studyRecipes;
  const all: Domain[] = tiny
    ? await tinyDomains(asked, out)
    : asked.map((name) => ({
        name,
        file: join(recipes, `${name}.yaml`),
        set: full ? (setOfFull[name] ?? []) : [],
      }));
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort(new Error("SIGINT")));
  const study = await runStudy({
    domains: all.map((domain) => ({
      ...domain,
      set: [...domain.set, ...overridesOf(domain.name, values.set ?? [])],
    })),
    methods,
    seeds: count("seeds", values.seeds ?? "3"),
    out,
    ...(values.records === undefined ? {} : { records: resolve(values.records) }),
    tiny,
    command: ["npx tsx bench/study.ts", ...args].join(" "),
    margin,
    signal: stop.signal,
    log: say,
  });
  printLines(study);
  process.stdout.write(`\n${studyText(study)}`);
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`bench/study: ${describeError(error)}`);
  process.exitCode = error instanceof MahaloError ? error.exitStatus : 1;
}
