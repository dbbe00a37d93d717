/** The vocabulary: what LaTeX commands, Unicode signs and plain words stand for. */

/** Commands that change the look only. */
export const silentCommands: ReadonlySet<string> = new Set(
  (
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle " +
    "scriptstyle limits nolimits quad qquad , ; ! : > mathstrut strut allowbreak nobreak rm bf it boldmath " +
    "Large large small normalsize hfill null nonumber notag"
  ).split(" "),
);

/** Commands that are one sign. */
export const signCommands: Readonly<Record<string, string>> = {
  cdot: "*",
  times: "*",
  ast: "*",
  div: "÷",
  slash: "/",
  pm: "±",
  mp: "∓",
  le: "≤",
  leq: "≤",
  leqslant: "≤",
  leqq: "≤",
  ge: "≥",
  geq: "≥",
  geqslant: "≥",
  geqq: "≥",
  lt: "<",
  gt: ">",
  ne: "≠",
  neq: "≠",
  approx: "≈",
  simeq: "≈",
  thickapprox: "≈",
  doteq: "≈",
  in: "∈",
  cup: "∪",
  bigcup: "∪",
  cap: "∩",
  bigcap: "∩",
  setminus: "∖",
  smallsetminus: "∖",
  backslash: "∖",
  pounds: "£",
  infty: "∞",
  emptyset: "∅",
  varnothing: "∅",
  circ: "°",
  degree: "°",
  "%": "%",
  $: "$",
  "{": "⦃",
  "}": "⦄",
  lbrace: "⦃",
  rbrace: "⦄",
  langle: "⟨",
  rangle: "⟩",
  lvert: "|",
  rvert: "|",
  vert: "|",
  mid: "∣",
  lfloor: "⌊",
  rfloor: "⌋",
  lceil: "⌈",
  rceil: "⌉",
  lbrack: "[",
  rbrack: "]",
  ldots: "…",
  dots: "…",
  cdots: "…",
  dotsc: "…",
  dotsb: "…",
  colon: ":",
  land: "and",
  wedge: "and",
  lor: "or",
  vee: "or",
  prime: "'",
  "&": "&",
  "#": "#",
  _: "_",
};

/** Unicode signs and what they are written as here. */
export const unicodeSigns: Readonly<Record<string, string>> = {
  "−": "-",
  "–": "-",
  "—": "-",
  "×": "*",
  "·": "*",
  "⋅": "*",
  "∙": "*",
  "∗": "*",
  "∕": "/",
  "⁄": "/",
  "≦": "≤",
  "≧": "≥",
  "⩽": "≤",
  "⩾": "≥",
  "≃": "≈",
  º: "°",
  "˚": "°",
  "％": "%",
  "，": ",",
  "；": ";",
  "：": ":",
  "（": "(",
  "）": ")",
  "〈": "⟨",
  "〉": "⟩",
  "∧": "and",
  "∨": "or",
  "′": "'",
  "’": "'",
};

/** Raised digits and signs. */
export const raised = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** Lowered digits. */
export const lowered = "₀₁₂₃₄₅₆₇₈₉";

/** Fractions that are one character. */
export const vulgarFractions: Readonly<Record<string, readonly [number, number]>> = {
  "½": [1, 2],
  "⅓": [1, 3],
  "⅔": [2, 3],
  "¼": [1, 4],
  "¾": [3, 4],
  "⅕": [1, 5],
  "⅖": [2, 5],
  "⅗": [3, 5],
  "⅘": [4, 5],
  "⅙": [1, 6],
  "⅚": [5, 6],
  "⅛": [1, 8],
  "⅜": [3, 8],
  "⅝": [5, 8],
  "⅞": [7, 8],
};

/** Functions, by the names that LaTeX and plain text give them. */
export const functionNames: Readonly<Record<string, string>> = {
  sin: "sin",
  cos: "cos",
  tan: "tan",
  tg: "tan",
  cot: "cot",
  ctg: "cot",
  sec: "sec",
  csc: "csc",
  cosec: "csc",
  arcsin: "asin",
  arccos: "acos",
  arctan: "atan",
  arctg: "atan",
  asin: "asin",
  acos: "acos",
  atan: "atan",
  arccot: "acot",
  arcsec: "asec",
  arccsc: "acsc",
  sinh: "sinh",
  cosh: "cosh",
  tanh: "tanh",
  arcsinh: "asinh",
  arccosh: "acosh",
  arctanh: "atanh",
  ln: "ln",
  log: "log",
  lg: "log",
  exp: "exp",
  abs: "abs",
  floor: "floor",
  ceil: "ceil",
  gcd: "gcd",
  lcm: "lcm",
  max: "max",
  min: "min",
};

/** Greek letters; as commands anywhere, as plain words where nothing else is meant. */
export const greekLetters: ReadonlySet<string> = new Set(
  (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho varrho sigma " +
    "tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar"
  ).split(" "),
);

/** Words that say how exact a number is, and nothing about its value. */
export const adverbs: ReadonlySet<string> = new Set(
  "about approximately approx roughly around exactly only just nearly almost precisely either both".split(
    " ",
  ),
);

/** Signs of currencies, which stand before or behind an amount. */
export const currencySigns: ReadonlySet<string> = new Set(["$", "€", "£", "¥", "₹"]);

/** Commands whose braces hold running text. */
export const textCommands: ReadonlySet<string> = new Set(
  "text textbf textit textrm textnormal textsf texttt mbox hbox emph mathrm operatorname mathop".split(" "),
);

/** Commands that give letters another face, which changes nothing. */
export const faceCommands: ReadonlySet<string> = new Set(
  "mathbf mathit mathsf mathtt mathcal mathscr mathfrak boldsymbol bm vec overrightarrow pmb underline boxed fbox".split(
    " ",
  ),
);

/** Commands that make another letter of a letter. */
export const accentCommands: ReadonlySet<string> = new Set(
  "bar overline hat widehat tilde widetilde dot ddot overleftrightarrow".split(" "),
);

/** Letters with a double stroke that name sets. */
export const setLetters: Readonly<Record<string, string>> = { R: "ℝ", N: "ℕ", Z: "ℤ", Q: "ℚ", C: "ℂ" };

/** Functions that a run of letters may begin with: `sinx`. */
export const gluedFunctions = ["arcsin", "arccos", "arctan", "sin", "cos", "tan", "sqrt", "ln", "log"];

/** Words that are signs. */
export const wordSigns: Readonly<Record<string, string>> = {
  and: "and",
  or: "or",
  infinity: "∞",
  inf: "∞",
  oo: "∞",
};

/** Greek letters by their signs. */
export const greekSigns: Readonly<Record<string, string>> = {
  α: "alpha",
  β: "beta",
  γ: "gamma",
  δ: "delta",
  ε: "epsilon",
  θ: "theta",
  λ: "lambda",
  μ: "mu",
  ρ: "rho",
  σ: "sigma",
  τ: "tau",
  φ: "phi",
  ϕ: "phi",
  ω: "omega",
  Δ: "Delta",
  Ω: "Omega",
};
