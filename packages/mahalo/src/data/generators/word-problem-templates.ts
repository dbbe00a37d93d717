/** The texts of the word-problem generator: templates for each operation family, and the words that fill them. */

/**
 * How a problem is computed from its numbers.
 *
 * | family | steps |
 * |---|---|
 * | add | a + b |
 * | subtract | a - b |
 * | multiply | a * b |
 * | add-add | a + b, then + c |
 * | add-subtract | a + b, then - c |
 * | subtract-add | a - b, then + c |
 * | multiply-add | a * b, then + c |
 * | multiply-subtract | a * b, then - c |
 */
export type Family =
  | "add"
  | "subtract"
  | "multiply"
  | "add-add"
  | "add-subtract"
  | "subtract-add"
  | "multiply-add"
  | "multiply-subtract";

/**
 * One template: `{slot}` is filled from the problem's words and numbers, `[x|y]` is one of the alternatives.
 * Slots: a b c (numbers), A B (two people), he He his him (of A), things, food, baked, box, boxes, place.
 */
export type Template = { id: string; family: Family; text: string };

const texts: Record<Family, readonly string[]> = {
  add: [
    "{A} has {a} {things}. {He} [gets|finds|buys] {b} more. How many {things} does {A} have now?",
    "{A} has {a} {things} and {B} has {b} {things}. How many {things} do they have [together|altogether|in all]?",
    "There are {a} {things} in one {box} and {b} {things} in another. How many {things} are there in all?",
    "On Monday {A} [collected|counted|sorted] {a} {things}, and on Tuesday {b} more. How many {things} is that in total?",
    "{A} [picked|gathered] {a} {food} in the morning and {b} {food} in the afternoon. How many {food} did {A} [pick|gather] that day?",
    "{a} children were playing at the {place}. Then {b} more children [came|joined them|arrived]. How many children are there now?",
    "{B} gave {A} {b} {things}. {A} already had {a}. How many {things} does {A} have now?",
    "A shop sold {a} {food} before lunch and {b} {food} after lunch. How many {food} did it sell?",
    "{A} read {a} pages yesterday and {b} pages today. How many pages did {he} read in all?",
    "The {place} has {a} old chairs and {b} new chairs. What is the total number of chairs?",
    "{A} is {a} years old. How old will {he} be in {b} years?",
    "{A} [walked|ran] {a} minutes to the {place} and {b} minutes back. How many minutes is that altogether?",
    "{A} saved {a} dollars last month and {b} dollars this month. How many dollars did {he} save?",
    "A bus carries {a} people. At the next stop {b} people get on. How many people are on the bus?",
  ],
  subtract: [
    "{A} had {a} {things}. {He} [gave {b} to {B}|lost {b} of them|sold {b} of them]. How many {things} does {A} have left?",
    "There were {a} {food} on the table. {A} and {B} ate {b} of them. How many {food} are left?",
    "{A} has {a} {things} and {B} has {b}. How many more {things} does {A} have than {B}?",
    "A {box} held {a} {things}. {A} took out {b}. How many {things} are still in the {box}?",
    "{a} children were at the {place}. {b} of them went home. How many children stayed?",
    "{A} wants to read a book of {a} pages. {He} has read {b} pages. How many pages are still to read?",
    "{A} had {a} dollars and spent {b} dollars on {food}. How many dollars does {he} have left?",
    "A baker made {a} {baked} and sold {b}. How many {baked} were not sold?",
    "{A} needs {a} {things} and has {b}. How many more {things} does {he} need?",
    "{a} people were on the bus. {b} got off at the {place}. How many people are on the bus now?",
    "Of the {a} {things} in the {box}, {b} are red and the others are blue. How many are blue?",
    "{A} is {a} years old. {B} is {b} years old. How many years older is {A}?",
    "A rope was {a} metres long. {A} cut off {b} metres. How many metres of rope are left?",
    "{A} blew up {a} balloons and {b} of them burst. How many balloons are left?",
  ],
  multiply: [
    "{A} has {a} {boxes} with {b} {things} in each. How many {things} does {A} have?",
    "There are {a} tables at the {place}, and {b} people sit at each table. How many people are sitting?",
    "{A} [buys|bought] {a} bags of {food}. Each bag holds {b} {food}. How many {food} is that?",
    "Each of {a} friends [brings|brought] {b} {things}. How many {things} are there altogether?",
    "{A} reads {b} pages a day. How many pages does {he} read in {a} days?",
    "A garden has {a} rows of {b} flowers each. How many flowers are in the garden?",
    "{A} earns {b} dollars an hour. How many dollars does {he} earn in {a} hours?",
    "A ticket costs {b} dollars. How much do {a} tickets cost, in dollars?",
    "{A} puts {b} {things} on each of {a} shelves. How many {things} does {he} put up?",
    "There are {a} teams with {b} players on each team. How many players are there?",
    "{A} draws {a} [stars|shapes] with {b} corners each. How many corners is that?",
    "{A} and {B} fill {a} {boxes}, {b} {things} to a {box}. How many {things} do they pack?",
    "A train has {a} cars with {b} windows each. How many windows does the train have?",
  ],
  "add-add": [
    "{A} has {a} {things}, {B} has {b} and their teacher has {c}. How many {things} do they have in all?",
    "{A} picked {a} {food} on Friday, {b} on Saturday and {c} on Sunday. How many {food} did {he} pick?",
    "There are {a} red, {b} blue and {c} green {things} in a {box}. How many {things} are in the {box}?",
  ],
  "add-subtract": [
    "{A} had {a} {things} and [found|bought|got] {b} more. Then {he} gave {c} to {B}. How many {things} does {A} have now?",
    "{a} people were on the bus. {b} got on and {c} got off. How many people are on the bus now?",
    "{A} baked {a} {baked} and {B} baked {b}. They ate {c} of them. How many {baked} are left?",
    "{A} saved {a} dollars and earned {b} more. {He} spent {c} dollars at the {place}. How many dollars are left?",
  ],
  "subtract-add": [
    "{A} had {a} {things}. {He} lost {b} of them, and then {B} gave {him} {c}. How many {things} does {A} have now?",
    "There were {a} {food} in the shop. {b} were sold, and then {c} more were delivered. How many {food} are there now?",
    "{a} children were at the {place}. {b} went home and {c} new ones came. How many children are there now?",
  ],
  "multiply-add": [
    "{A} has {a} {boxes} with {b} {things} in each, and {c} more in {his} pocket. How many {things} does {A} have?",
    "{A} buys {a} bags of {b} {food} each and {c} single ones. How many {food} does {he} buy?",
    "There are {a} tables with {b} people each, and {c} people are standing. How many people are there?",
  ],
  "multiply-subtract": [
    "{A} filled {a} {boxes} with {b} {things} each. Then {he} took {c} {things} out again. How many {things} are left in the {boxes}?",
    "{A} bought {a} bags of {b} {food} and ate {c} of them. How many {food} are left?",
    "{A} earns {b} dollars an hour and works {a} hours. {He} spends {c} dollars. How many dollars are left?",
  ],
};

/** Every template; its id is the family and its place in the list. */
export const templates: readonly Template[] = (Object.keys(texts) as Family[]).flatMap((family) =>
  texts[family].map((text, index) => ({ id: `${family}/${index}`, family, text })),
);

type Person = { name: string; he: string; his: string; him: string };

const she = { he: "she", his: "her", him: "her" };
const he = { he: "he", his: "his", him: "him" };

/** People of the problems, with their pronouns. */
export const people: readonly Person[] = [
  ...["Mia", "Ada", "Lena", "Noor", "Ruth", "Yuki", "Sofia", "Amara", "Ines", "Priya", "Hana", "Keala"].map(
    (name) => ({ name, ...she }),
  ),
  ...["Ben", "Tom", "Omar", "Luca", "Kofi", "Jonas", "Ravi", "Diego", "Finn", "Kai", "Emil", "Tariq"].map(
    (name) => ({ name, ...he }),
  ),
];

/** Countable things a child may own. */
export const things: readonly string[] = [
  "marbles",
  "stickers",
  "pencils",
  "shells",
  "buttons",
  "cards",
  "coins",
  "books",
  "stamps",
  "beads",
  "crayons",
  "toy cars",
  "stones",
  "ribbons",
];

/** Fruit, which people pick, buy and eat. */
export const foods: readonly string[] = [
  "apples",
  "plums",
  "oranges",
  "pears",
  "peaches",
  "lemons",
  "figs",
  "apricots",
  "mangoes",
  "cherries",
];

/** Things that people bake. */
export const baked: readonly string[] = ["cookies", "muffins", "rolls", "buns", "pies", "pretzels"];

/** Containers, one and many. */
export const containers: readonly (readonly [one: string, many: string])[] = [
  ["box", "boxes"],
  ["bag", "bags"],
  ["basket", "baskets"],
  ["jar", "jars"],
  ["drawer", "drawers"],
];

/** Places with people in them. */
export const places: readonly string[] = ["park", "library", "school", "beach", "market", "museum", "zoo"];
