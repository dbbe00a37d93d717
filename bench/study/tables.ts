/** A study as Markdown, ready for a page of results: methods, and for each claim its verdict with its intervals. */
import type { Study, StudyDomain } from "./format.ts";
import { claims, type Verdict } from "./verdict.ts";

type Span = { mean: number; low: number; high: number };

const number = (value: number): string => value.toFixed(3);
const signed = (value: number): string => (value < 0 ? number(value) : `+${number(value)}`);

const span = ({ mean, low, high }: Span, write = number): string =>
  `${write(mean)} [${write(low)}, ${write(high)}]`;

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** A table of Markdown; the first column is text, the others are numbers. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_, index) => (index === 0 ? "---" : "--:")), ...rows]
    .map((row) => `| ${row.map(cell).join(" | ")} |`)
    .join("\n");

const methodsTable = ({ comparison, runs }: StudyDomain): string => {
  if (comparison === undefined) return "No objective is judged, so no answers are compared.";
  const { objectives, groups } = comparison;
  const rows = groups.flatMap(({ name, points, hypervolume, leastRegret }) =>
    points.map(({ label, results, distinct, words, mix, kl }, index) => [
      mix === undefined ? (points.length > 1 ? label : name) : `${name} ${label}`,
      ...objectives.map((objective) => {
        const estimate = results[objective];
        return estimate === undefined ? "" : span(estimate);
      }),
      index > 0 || hypervolume === undefined ? "" : span(hypervolume),
      index > 0 ? "" : number(leastRegret),
      number(distinct),
      words.toFixed(1),
      kl === undefined ? "" : kl.mean.toFixed(2),
      index > 0 ? "" : (runs.find((run) => run.name === name)?.hours.toFixed(2) ?? ""),
    ]),
  );
  return table(
    ["policy", ...objectives, "hypervolume", "least regret", "distinct-2", "words", "KL (nats)", "hours"],
    rows,
  );
};

/** MAH-DPO against every other method: on each objective at the most even mix, and its front's volume. */
const rivalsTable = ({ comparison }: StudyDomain): string[] => {
  const rows = (comparison?.differences ?? [])
    .filter(({ a, b }) => a === "mah-dpo" || b === "mah-dpo")
    .map(({ a, b, of, difference, decided, win }) => {
      // The comparison has each two methods once, in the order of their runs; MAH-DPO is the first.
      const turned = a !== "mah-dpo";
      const { mean, low, high } = difference;
      const shown = turned ? { mean: -mean, low: -high, high: -low } : difference;
      const rate = (value: number): string => number(turned ? 1 - value : value);
      return [
        turned ? a : b,
        of,
        `${span(shown, signed)}${decided ? "" : ", covers 0"}`,
        win === undefined ? "" : `${rate(win.win)}, ${rate(win.controlled)}`,
      ];
    });
  return rows.length === 0
    ? []
    : [
        "MAH-DPO less each other method, both at their most even mix; wins are the rate at which its answer scores above the other's, and the same at equal length:",
        table(["method", "of", "difference [95%]", "wins, at equal length"], rows),
      ];
};

/** What heads rank right of pairs held out from them, a head a row. */
const pairsTable = ({ pairs, objectives }: StudyDomain): string[] => {
  const heads = [...new Map(pairs.map(({ run, head }) => [`${run}\n${head}`, { run, head }])).values()];
  const rows = heads.map(({ run, head }) => [
    // A model of one head calls it by its method, which its run's name tells already.
    objectives.includes(head) ? `${run}, head ${head}` : run,
    ...objectives.map((objective) => {
      const ranking = pairs.find(
        (pair) => pair.run === run && pair.head === head && pair.objective === objective,
      );
      return ranking === undefined ? "" : `${span(ranking.accuracy)} of ${ranking.accuracy.n}`;
    }),
  ]);
  return rows.length === 0
    ? []
    : [
        "Held-out pairs ranked right by reward against the fine-tuned model, all seeds' pairs together; no judge has a say in it:",
        table(["head", ...objectives], rows),
      ];
};

const conflictText = ({ conflict }: StudyDomain): string[] => {
  const parts = Object.entries(conflict).map(
    ([pair, values]) => `${pair.replace("~", " and ")} ${values.map(signed).join(", ")}`,
  );
  return parts.length === 0
    ? []
    : [`Mean cosine of the objectives' gradients at the shared weights, by seed: ${parts.join("; ")}.`];
};

/** One claim's verdict: what decided it. */
export const claimText = ({ claim, method, outcome, findings, notes }: Verdict): string => {
  const rows = findings.map(({ of, difference, bound, outcome: verdict }) => [
    of,
    span(difference, signed),
    signed(bound),
    verdict,
  ]);
  return [
    `#### (${claim}) ${claims[claim]}${method === undefined ? "" : `, by ${method}`}: **${outcome}**`,
    ...(rows.length === 0 ? [] : [table(["difference", "mean [95%]", "must lie above", "outcome"], rows)]),
    ...(notes.length === 0 ? [] : [`Notes: ${notes.join("; ")}.`]),
  ].join("\n\n");
};

const domainText = (domain: StudyDomain): string => {
  const { name, seeds, objectives, comparison, verdicts, model, notes, machines } = domain;
  const prompts = comparison?.groups[0]?.points[0]?.results[objectives[0] ?? ""]?.prompts;
  const size = `${model.split("/").at(-1)}; seeds ${seeds.join(", ")}${prompts === undefined ? "" : `; ${prompts} answers a policy`}; on ${machines.join(", ")}.`;
  const told = notes.length === 0 ? [] : [`${notes.join("; ")}.`];
  return [
    `### ${name}`,
    size,
    ...told,
    methodsTable(domain),
    ...pairsTable(domain),
    ...conflictText(domain),
    ...rivalsTable(domain),
    ...verdicts.map(claimText),
  ].join("\n\n");
};

/** The whole study as Markdown. */
export const studyText = ({ domains, command, tiny }: Study): string => {
  const letters = [...new Set(domains.flatMap(({ verdicts }) => verdicts.map(({ claim }) => claim)))].sort();
  const summary = table(
    ["claim", ...domains.map(({ name }) => name)],
    letters.map((letter) => [
      `(${letter}) ${claims[letter]}`,
      ...domains.map(
        ({ verdicts }) => verdicts.find(({ claim }) => claim === letter)?.outcome ?? "not measured",
      ),
    ]),
  );
  const size = tiny
    ? "\n\nThis is the tiny form: it shows that the study runs, and its figures mean nothing."
    : "";
  return `${[`Made by \`${command}\`.${size}`, summary, ...domains.map(domainText)].join("\n\n")}\n`;
};
