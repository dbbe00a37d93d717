/** Looks of the report: colours that colour-blind readers can tell apart, in light and in dark, and the page's CSS. */

/**
 * Colours of series in light and dark, after Okabe and Ito 2008, darkened or lightened so that each stands out from
 * the page by a contrast of 3:1 or more. Series also differ by the shape of their marks.
 */
const seriesColours: readonly (readonly [light: string, dark: string])[] = [
  ["#0072b2", "#56b4e9"],
  ["#c44e00", "#f0a030"],
  ["#00805e", "#2fbf94"],
  ["#a8578a", "#e3a0c8"],
  ["#7a6a00", "#e0d040"],
  ["#555555", "#bbbbbb"],
];

/** Number of colours and shapes of series. */
export const colourCount = seriesColours.length;

/** Number of distinct series looks, full marks first and then hollow ones with dashed lines; after these they repeat. */
export const seriesCount = 2 * colourCount;

const light = {
  page: "#ffffff",
  card: "#f6f7f9",
  ink: "#1b1f24",
  soft: "#57606a",
  line: "#d0d7de",
  good: "#00805e",
  bad: "#b03a2e",
};
const dark = {
  page: "#14171c",
  card: "#1d2229",
  ink: "#e6e9ee",
  soft: "#a5adb8",
  line: "#3a424d",
  good: "#2fbf94",
  bad: "#ff9180",
};

const variables = (shade: 0 | 1): string =>
  [
    ...Object.entries(shade === 0 ? light : dark).map(([name, value]) => `--${name}:${value}`),
    ...seriesColours.map((pair, index) => `--series-${index}:${pair[shade]}`),
  ].join(";");

/** Variables for both schemes; `selector` is what carries them. */
const schemes = (selector: string): string =>
  `${selector}{${variables(0)}}@media (prefers-color-scheme:dark){${selector}{${variables(1)}}}`;

const chartRules = [
  "text{font-family:system-ui,sans-serif;font-size:13px;fill:var(--ink)}",
  "text.soft{fill:var(--soft)}",
  "text.title{font-size:15px;font-weight:600}",
  ".grid{stroke:var(--line);stroke-width:1}",
  ".axis{stroke:var(--soft);stroke-width:1}",
  ".line{fill:none;stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}",
  ".raw{fill:none;stroke-width:1;opacity:.35}",
  ".band{opacity:.13;stroke:none}",
  ".bar{fill:none;stroke-width:1.5}",
  ".mark{stroke:var(--page);stroke-width:1}",
  ...seriesColours.map((_, index) => `.s${index}{--c:var(--series-${index})}`),
  ".line,.raw,.bar{stroke:var(--c)}",
  ".band,.mark{fill:var(--c)}",
  ".hollow.mark{fill:var(--page);stroke:var(--c);stroke-width:2}",
  ".hollow.line{stroke-dasharray:7 5}",
];

/** CSS of a chart that stands alone as an SVG file. */
export const svgStyle = (): string => [schemes("svg"), ...chartRules].join("\n");

/** CSS of the whole page, charts included. */
export const pageStyle = (): string =>
  [
    ":root{color-scheme:light dark}",
    schemes(":root"),
    "*{box-sizing:border-box}",
    "body{margin:0 auto;max-width:66rem;padding:1.5rem 1rem 4rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:break-word}",
    "h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0}h2{font-size:1.25rem;margin:2.5rem 0 .6rem}h3,h4{font-size:1rem;margin:1.5rem 0 .4rem}",
    "p{max-width:46rem;margin:.5rem 0}.soft,figcaption{color:var(--soft)}figcaption{font-size:.9rem;padding:.3rem 0}",
    "figure{margin:1rem 0}.scroll{overflow-x:auto;max-width:100%}.scroll:focus-visible{outline:2px solid var(--series-0)}",
    "svg{display:block;width:100%;height:auto}figure.wide svg{min-width:34rem;max-width:48rem}",
    ".panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(19rem,100%),1fr));gap:1rem}.panels figure{margin:0}.panels+details{margin-top:.6rem}",
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.35rem .8rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}th:first-child,.words{text-align:left}td.words{white-space:normal}tbody th{white-space:normal;min-width:8rem}thead th{border-bottom:2px solid var(--soft)}td small{color:var(--soft);display:block}",
    "td.heat{background:color-mix(in srgb,var(--series-0) calc(var(--share)*45%),var(--page))}td.heat small{color:var(--ink)}td.own{outline:2px solid var(--ink);outline-offset:-2px}",
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.8rem 0}dt{color:var(--soft)}dd{margin:0;min-width:0}",
    "pre{background:var(--card);padding:.8rem;border-radius:.4rem;overflow-x:auto;font-size:.85rem}summary{cursor:pointer;padding:.2rem 0}",
    ".question{background:var(--card);border-left:4px solid var(--soft);padding:.6rem .9rem;border-radius:.2rem;white-space:pre-wrap}",
    ".replies{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(15rem,1fr);gap:.8rem;padding:.6rem 0}",
    ".reply{border:1px solid var(--line);border-radius:.4rem;padding:.6rem .8rem;min-width:0}.reply h4{margin:0 0 .4rem;font-size:.85rem;color:var(--soft);font-weight:600}.reply p{white-space:pre-wrap;margin:0 0 .6rem}",
    ".steps{margin:.4rem 0 0;padding-left:1.3rem;font-size:.8rem;overflow-wrap:anywhere}.steps li{margin-bottom:.3rem}.steps small{display:block;color:var(--soft)}.reply summary{font-size:.8rem;color:var(--soft);margin-top:.4rem}",
    ".verdict{display:block;font-size:.82rem;line-height:1.35;margin-top:.25rem}.verdict b{font-weight:600}.good b{color:var(--good)}.bad b{color:var(--bad)}",
    "@media (max-width:30rem){table{font-size:.85rem}th,td{padding:.3rem .35rem}tbody th{min-width:6rem}body{padding:1rem .8rem 3rem}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.4rem}}",
    ...chartRules,
  ].join("\n");
