/** Units of measure: which words are units, and how two of them compare. */
import { element } from "./need.ts";
import { multiply, power, type Rational, rational, type Work, whole } from "./rational.ts";

/** What is measured, as powers of base quantities: `{ length: 2 }` is an area. */
type Dimensions = Readonly<Record<string, number>>;

/** A unit whose size is known, in units of its base. */
export type Unit = { dimensions: Dimensions; factor: Rational };

/** Sizes as numerator and denominator in the base of each quantity: metre, gram, second, litre, dollar, degree. */
const sizes: Readonly<Record<string, Readonly<Record<string, readonly [number, number]>>>> = {
  length: {
    "nm nanometer nanometre": [1, 1_000_000_000],
    "mm millimeter millimetre": [1, 1000],
    "cm centimeter centimetre": [1, 100],
    "dm decimeter decimetre": [1, 10],
    "m meter metre mtr": [1, 1],
    "km kilometer kilometre": [1000, 1],
    "in inch inches": [254, 10_000],
    "ft foot feet": [3048, 10_000],
    "yd yard": [9144, 10_000],
    "mi mile": [1_609_344, 1000],
  },
  mass: {
    "mg milligram": [1, 1000],
    "g gm gram": [1, 1],
    "kg kilogram kilo": [1000, 1],
    tonne: [1_000_000, 1],
    "oz ounce": [28_349_523_125, 1_000_000_000],
    "lb lbs pound": [45_359_237, 100_000],
  },
  time: {
    "ms millisecond": [1, 1000],
    "s sec second": [1, 1],
    "min minute": [60, 1],
    "h hr hour": [3600, 1],
    "d day": [86_400, 1],
    "wk week": [604_800, 1],
  },
  months: { month: [1, 1], "yr year": [12, 1], decade: [120, 1], "century centuries": [1200, 1] },
  force: { "n newton": [1, 1], "kn kilonewton": [1000, 1] },
  energy: { "j joule": [1, 1], "kj kilojoule": [1000, 1], "kwh kilowatt-hour": [3_600_000, 1] },
  power: { "w watt": [1, 1], "kw kilowatt": [1000, 1], "mw megawatt": [1_000_000, 1] },
  pressure: { "pa pascal": [1, 1], "kpa kilopascal": [1000, 1] },
  frequency: { "hz hertz": [1, 1], "khz kilohertz": [1000, 1], "mhz megahertz": [1_000_000, 1] },
  voltage: { volt: [1, 1], kilovolt: [1000, 1] },
  volume: {
    "ml milliliter millilitre": [1, 1000],
    "l liter litre": [1, 1],
    "tsp teaspoon": [473_176_473, 96_000_000_000],
    "tbsp tablespoon": [473_176_473, 32_000_000_000],
    cup: [473_176_473, 2_000_000_000],
    "pt pint": [473_176_473, 1_000_000_000],
    "qt quart": [946_352_946, 1_000_000_000],
    "gal gallon": [3_785_411_784, 1_000_000_000],
  },
  money: { "$ dollar usd buck": [1, 1], "¢ cent": [1, 100] },
  euros: { "€ euro eur": [1, 1] },
  pounds: { "£ gbp": [1, 1] },
  yen: { "¥ yen jpy": [1, 1] },
  rupees: { "₹ rs rupee inr": [1, 1] },
  angle: { "° degree deg": [1, 1] },
  share: { "%": [1, 100] },
};

const table = new Map<string, Unit>();
for (const [quantity, units] of Object.entries(sizes)) {
  for (const [names, [n, d]] of Object.entries(units)) {
    for (const name of names.split(" ")) {
      const factor = rational(BigInt(n), BigInt(d), { left: 100 });
      if (factor !== undefined) table.set(name, { dimensions: { [quantity]: 1 }, factor });
    }
  }
}

/** Short names of rates, written out. */
const shorthands: Readonly<Record<string, string>> = {
  mph: "mi / h",
  kmph: "km / h",
  kmh: "km / h",
  kph: "km / h",
  mps: "m / s",
  fps: "ft / s",
  cc: "cm ^ 3",
};

/** Words beside a unit that say nothing about its size. */
const fillers: ReadonlySet<string> = new Set(
  (
    "unit units of a an the total in all altogether overall left remaining left-over leftover more each now today " +
    "together apart away extra still long tall high wide deep thick old heavy there he she it they we you i has have " +
    "had is are was were will be to for and on at from with that this needed required used worth only exactly approx"
  ).split(" "),
);

/** Plurals that no ending tells. */
const irregular: Readonly<Record<string, string>> = {
  people: "person",
  persons: "person",
  children: "child",
  men: "man",
  women: "woman",
  mice: "mouse",
  geese: "goose",
  teeth: "tooth",
  leaves: "leaf",
  loaves: "loaf",
  halves: "half",
  knives: "knife",
  wolves: "wolf",
  shelves: "shelf",
  celsius: "celsius",
};

/** A word in the singular. */
const stem = (word: string): string => {
  const singular = irregular[word];
  if (singular !== undefined) return singular;
  if (word.length > 4 && word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  if (/(?:ss|x|z|ch|sh|o)es$/.test(word)) return word.slice(0, -2);
  return word.length > 3 && /[^s]s$/.test(word) ? word.slice(0, -1) : word;
};

/** What the words of a unit say, each as the unit or the singular that it is; words that say nothing are left out. */
const meanings = (text: string): Set<string> => {
  const words = text
    .toLowerCase()
    .replaceAll(/['’]s?\b/g, "")
    .split(/[ -]+/);
  const heat = words.some((word) => /^(?:°|degrees?|deg)$/.test(word));
  const units = new Set<string>();
  for (const word of words) {
    if (word === "" || fillers.has(word)) continue;
    const unit = singular(word);
    if (heat && /^[cf]$/.test(word)) units.add(word === "c" ? "celsius" : "fahrenheit");
    else if (unit === undefined) units.add(stem(word));
    else units.add(`${Object.keys(unit.dimensions).join()} ${unit.factor.n}/${unit.factor.d}`);
  }
  return units;
};

/**
 * Whether words of which one has no known size name the same thing: what the one says is all in what the other says.
 *
 * @example agree("red apples", "apples") // true; "apples" and "oranges" do not agree
 */
export const agree = (first: string, second: string): boolean => {
  const [a, b] = [meanings(first), meanings(second)];
  const [few, many] = a.size <= b.size ? [a, b] : [b, a];
  return [...few].every((word) => many.has(word));
};

const singular = (word: string): Unit | undefined => {
  const unit =
    table.get(word) ?? (word.endsWith("s") && word.length > 2 ? table.get(word.slice(0, -1)) : undefined);
  return unit ?? (word.endsWith("es") ? table.get(word.slice(0, -2)) : undefined);
};

/** Whether a word of at most three letters is the short name of a unit. */
export const isUnitWord = (word: string): boolean => {
  const lower = word.toLowerCase();
  if (lower in shorthands || shortNoise.has(lower)) return true;
  // Capital letters are units only where that is their usual form; M or S is a variable.
  return word.length === 1 ? "mghslL".includes(word) : singular(lower) !== undefined;
};

/** Short words that follow numbers of things and never are algebra. */
const shortNoise: ReadonlySet<string> = new Set(
  "am pm men man pie way per th st nd rd sq cu hrs yrs pts".split(" "),
);

const raise = ({ dimensions, factor }: Unit, exponent: number, work: Work): Unit | undefined => {
  const raised = power(factor, BigInt(exponent), work);
  if (raised === undefined) return undefined;
  const entries = Object.entries(dimensions).map(([name, value]) => [name, value * exponent]);
  return { dimensions: Object.fromEntries(entries), factor: raised };
};

/** The power of a dimension in a unit; 0 where the unit does not name it. */
function powerOf(dimensions: Unit["dimensions"], dimension: string): number {
  const { [dimension]: power = 0 } = dimensions;
  return power;
}

const combine = (a: Unit, b: Unit, work: Work): Unit | undefined => {
  const factor = multiply(a.factor, b.factor, work);
  if (factor === undefined) return undefined;
  const dimensions: Record<string, number> = { ...a.dimensions };
  for (const [name, value] of Object.entries(b.dimensions)) {
    const sum = powerOf(dimensions, name) + value;
    if (sum === 0) delete dimensions[name];
    else dimensions[name] = sum;
  }
  return { dimensions, factor };
};

const isExponent = (word: string | undefined): boolean => word !== undefined && /^-?[1-6]$/.test(word);

/**
 * The size of a unit: `square cm`, `cm ^ 2`, `mi / h`, `feet per second`.
 *
 * @param text words, `/` and `^` with a space between each
 * @returns undefined for words whose size is not known, such as `apples`
 */
export const readUnit = (text: string, work: Work): Unit | undefined => {
  const words = text
    .toLowerCase()
    .split(" ")
    .flatMap((word) => (shorthands[word] ?? word).split(" "));
  let unit: Unit = { dimensions: {}, factor: whole(1) };
  let any = false;
  let sign = 1;
  let next = 1;
  for (let index = 0; index < words.length; index++) {
    const word = element(words, index);
    // "in" alone is an inch; beside other words it is a filler.
    const inch = word === "in" && (words.length === 1 || next > 1 || sign < 0 || words[index + 1] === "^");
    if (word === "" || (fillers.has(word) && !inch)) continue;
    if (word === "/" || word === "per") {
      sign = -1;
    } else if (word === "square" || word === "sq") {
      next = 2;
    } else if (word === "cubic" || word === "cu") {
      next = 3;
    } else {
      const base = singular(word);
      if (base === undefined) return undefined;
      let exponent = next;
      next = 1;
      if (words[index + 1] === "^" && isExponent(words[index + 2])) {
        exponent *= Number(words[index + 2]);
        index += 2;
      } else if (words[index + 1] === "squared" || words[index + 1] === "cubed") {
        exponent *= words[index + 1] === "squared" ? 2 : 3;
        index += 1;
      }
      const raised = raise(base, sign * exponent, work);
      const combined = raised === undefined ? undefined : combine(unit, raised, work);
      if (combined === undefined) return undefined;
      unit = combined;
      any = true;
    }
  }
  return any ? unit : undefined;
};

/** Whether two units measure the same kind of thing. */
export const sameDimensions = (a: Unit, b: Unit): boolean => {
  const names = new Set([...Object.keys(a.dimensions), ...Object.keys(b.dimensions)]);
  return [...names].every((name) => powerOf(a.dimensions, name) === powerOf(b.dimensions, name));
};
