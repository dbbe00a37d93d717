/**
 * Renders chat templates in a thread of its own, which the other side may end when it takes too long.
 *
 * Plain JavaScript, so that the thread starts without a TypeScript loader. One request at a time: the answer is posted
 * first, then the flag is raised on which the other side sleeps.
 */

import { workerData } from "node:worker_threads";
import { Environment, Interpreter, Template } from "@huggingface/jinja";

/** @type {{ port: import("node:worker_threads").MessagePort, flag: Int32Array }} */
const { port, flag } = workerData;

const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const two = (number) => String(number).padStart(2, "0");

/** Python's codes in Python's default locale, whatever the machine's language is. */
const dateCodes = {
  Y: (date) => String(date.getFullYear()),
  y: (date) => two(date.getFullYear() % 100),
  m: (date) => two(date.getMonth() + 1),
  d: (date) => two(date.getDate()),
  B: (date) => months[date.getMonth()],
  b: (date) => months[date.getMonth()].slice(0, 3),
  A: (date) => days[date.getDay()],
  a: (date) => days[date.getDay()].slice(0, 3),
  H: (date) => two(date.getHours()),
  I: (date) => two(date.getHours() % 12 || 12),
  M: (date) => two(date.getMinutes()),
  S: (date) => two(date.getSeconds()),
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  "%": () => "%",
};

const formatDate = (date, format) =>
  format.replace(/%([a-zA-Z%])/g, (code, letter) => dateCodes[letter]?.(date) ?? code);

/** Parsed templates by their text; a run uses one or two. */
const parsed = new Map();

const compile = (text) => {
  const known = parsed.get(text);
  if (known !== undefined) return known;
  if (parsed.size >= 16) parsed.clear();
  const template = new Template(text);
  parsed.set(text, template);
  return template;
};

class Refusal extends Error {}

/** Entries that a list may have; a conversation has far fewer. */
const longest = 1_000_000;

const checkLength = (length) => {
  if (length > longest) throw new RangeError(`a list of ${length} entries; at most ${longest} are allowed`);
};

// Lists are added by concat. One that doubles asks for its memory in a single piece, and a thread that cannot get such a
// piece takes the whole process with it, so the length is checked before.
const { concat } = Array.prototype;
Object.defineProperty(Array.prototype, "concat", {
  value(...lists) {
    checkLength(lists.reduce((sum, list) => sum + (Array.isArray(list) ? list.length : 1), this.length));
    return concat.apply(this, lists);
  },
});

/** Python's range. */
const range = (first, second, step = 1) => {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  checkLength((stop - start) / step);
  const numbers = [];
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) numbers.push(i);
  return numbers;
};

// Python prints True and False; the library does not let go of the class, but every value knows its own.
const probe = new Environment();
probe.set("yes", true);
Object.defineProperty(probe.lookupVariable("yes").constructor.prototype, "toString", {
  value() {
    return this.value ? "True" : "False";
  },
});

/** Takes characters off the ends of a text, as Python's strip does when it is told which. */
const stripOf = (method, text, characters) => {
  const letters = [...text];
  const set = new Set(characters);
  let start = 0;
  let end = letters.length;
  if (method !== "rstrip") while (start < end && set.has(letters[start])) start += 1;
  if (method !== "lstrip") while (end > start && set.has(letters[end - 1])) end -= 1;
  return letters.slice(start, end).join("");
};

/** The library's interpreter, with the argument of `strip`, `lstrip` and `rstrip`, which it leaves unread. */
class PythonLikeInterpreter extends Interpreter {
  evaluate(statement, environment) {
    const callee = statement?.type === "CallExpression" ? statement.callee : undefined;
    const method =
      callee?.type === "MemberExpression" && !callee.computed ? callee.property.value : undefined;
    if (["strip", "lstrip", "rstrip"].includes(method) && statement.args.length === 1) {
      const text = this.evaluate(callee.object, environment);
      const characters = this.evaluate(statement.args[0], environment);
      if (text.type === "StringValue" && characters.type === "StringValue") {
        return new text.constructor(stripOf(method, text.value, characters.value));
      }
    }
    return super.evaluate(statement, environment);
  }
}

const render = (template, variables, now) => {
  const environment = new Environment();
  const names = {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    range,
    strftime_now: (format) => formatDate(new Date(now), format),
    raise_exception: (message) => {
      throw new Refusal(message);
    },
    ...variables,
  };
  for (const [name, value] of Object.entries(names)) environment.set(name, value);
  return new PythonLikeInterpreter(environment).run(template.parsed).value;
};

const answer = ({ text, variables, now }) => {
  let template;
  try {
    template = compile(text);
  } catch (error) {
    return { kind: "syntax", message: error.message };
  }
  try {
    return { kind: "text", text: render(template, variables, now) };
  } catch (error) {
    return { kind: error instanceof Refusal ? "refused" : "failed", message: error.message };
  }
};

const raise = () => {
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
};

port.on("message", (request) => {
  port.postMessage(answer(request));
  raise();
});
raise();
