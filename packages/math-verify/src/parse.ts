/** The parser: tokens of an answer to a tree, by precedence, with bounded depth and work. */
import { element } from "./need.ts";
import { compound, inBase, isWhole, measured, withUnit, wordNumber } from "./quantities.ts";
import { rational, spend, type Work, whole } from "./rational.ts";
import { type Reading, type Scan, scan, type Token } from "./scan.ts";
import { closings, isRelation, namedSets, setName, starts } from "./shapes.ts";
import { accentCommands, adverbs, currencySigns, faceCommands } from "./symbols.ts";
import { readable, TokenCursor, Unreadable } from "./token-cursor.ts";
import { call, isWithinDepth, type Node, type NumberNode, type RelationOp } from "./tree.ts";

/** Deepest tree that is compared; a sum or product of many parts has one level for each. */
const maxLevels = 250;

class Parser extends TokenCursor {
  #inBars = 0;

  whole(): Node {
    const node = this.#list();
    while (this.take(".") || this.take("$") || this.take("°"));
    if (this.at < this.tokens.length) throw new Unreadable();
    return node;
  }

  #separator(): boolean {
    let separated = false;
    while (this.take(",") || this.take(";") || this.take("and") || this.take("or")) separated = true;
    return separated;
  }

  /** Things divided by commas, semicolons, "and" and "or". */
  #list(): Node {
    const [items] = [this.#items()];
    const [only] = items;
    if (only !== undefined && items.length === 1) return only;
    return { kind: "group", shape: "list", open: "", close: "", items };
  }

  #items(): Node[] {
    const items = [this.#relation()];
    while (this.#separator() && this.peek() !== undefined) items.push(this.#relation());
    return items;
  }

  #relation(): Node {
    return this.nested(() => {
      while (adverbs.has(this.peek()?.text ?? "")) this.at++;
      if (this.is("≈")) this.at++;
      const sides = [this.#sum()];
      const ops: RelationOp[] = [];
      let exactSides: number | undefined;
      for (let next = this.peek(); next?.type === "sign" && isRelation(next.text); next = this.peek()) {
        this.at++;
        if (next.text === "≈") exactSides ??= sides.length;
        ops.push(next.text === "≈" ? "=" : next.text);
        sides.push(this.#sum());
      }
      const [only] = sides;
      if (ops.length === 0 && only !== undefined) return only;
      return { kind: "relation", ops, sides, ...(exactSides === undefined ? {} : { exactSides }) };
    });
  }

  #sum(): Node {
    let left = this.#signed();
    for (;;) {
      const sign = ["+", "-", "±", "∓", "∪", "∩", "∖"].find((text) => this.is(text));
      if (sign === undefined) return left;
      this.at++;
      left = call(sign, left, this.#product());
    }
  }

  #signed(): Node {
    if (this.take("+")) return this.#signed();
    if (this.take("-")) return this.nested(() => measured("neg", this.#product()));
    if (this.take("±"))
      return this.nested(() => call("±", { kind: "number", value: whole(0) }, this.#product()));
    return this.#product();
  }

  #product(): Node {
    let left = this.#power();
    for (;;) {
      const slash = this.is("/") || this.is("÷");
      if (slash || this.is("*")) {
        this.at++;
        left = measured(slash ? "/" : "*", left, this.#factor());
      } else if (this.#beginsFactor()) left = this.#beside(left);
      else return left;
    }
  }

  /** What stands right beside a factor: the rest of a mixed number or amount, or another factor. */
  #beside(left: Node): Node {
    if (isWhole(left)) {
      const [top, line, bottom] = [this.peek(), this.peek(1), this.peek(2)];
      if (top?.type === "number" && line?.text === "/" && bottom?.type === "number") {
        this.at += 3;
        return this.#behind(call("+", left, call("/", this.#value(top), this.#value(bottom))));
      }
      if (top?.type === "command" && /^(?:[dtc]?frac|vulgar)$/.test(top.text)) {
        const right = this.#primary();
        const mixed = right.kind === "number" || (right.kind === "call" && right.args.every(isWhole));
        return mixed ? this.#behind(call("+", left, right)) : measured("*", left, this.#behind(right));
      }
    }
    if (this.peek()?.type === "number" && left.kind === "number") throw new Unreadable();
    const right = this.#power();
    return compound(left, right, this.work) ?? measured("*", left, right);
  }

  #beginsFactor(): boolean {
    const token = this.peek();
    if (token === undefined) return false;
    if (token.type === "sign") return starts.has(token.text) || (token.text === "|" && this.#inBars === 0);
    return ["number", "letter", "function", "command", "begin"].includes(token.type);
  }

  #factor(): Node {
    if (this.take("-")) return this.nested(() => call("neg", this.#factor()));
    if (this.take("+")) return this.nested(() => this.#factor());
    return this.#power();
  }

  #power(): Node {
    return this.nested(() => this.#behind(this.#primary()));
  }

  /** What stands behind a base and binds to it: powers, factorials, percent and degree signs, units. */
  #behind(first: Node): Node {
    let base = first;
    for (;;) {
      if (this.take("!")) base = call("factorial", base);
      else if (this.take("%")) base = { kind: "quantity", value: base, unit: "%" };
      else if (this.is("^") && this.is("°", 1)) this.at++;
      else if (this.takeOrdinalEnd()) continue;
      else if (this.is("^") && this.is("{", 1) && this.is("°", 2) && this.is("}", 3)) {
        this.at += 4;
        base = { kind: "quantity", value: base, unit: "°" };
      } else if (this.take("°")) base = { kind: "quantity", value: base, unit: "°" };
      else if (base.kind === "quantity" && base.unit === "°" && this.isTemperature())
        base = { ...base, unit: `° ${this.tokens[this.at++]?.text}` };
      else if (this.isCurrency()) base = { kind: "quantity", value: base, unit: this.next().text };
      else if (this.take("^")) base = call("^", base, this.#exponent());
      else if (this.peek()?.type === "word") base = this.#unit(base);
      else if (this.is("(") && this.peek(1)?.type === "word") {
        this.at++;
        base = this.#unit(base);
        if (!this.take(")")) throw new Unreadable();
      } else return base;
    }
  }

  /** An exponent; of a tower of powers, which is read from the right: `2^3^2` is 2^9. */
  #exponent(): Node {
    return this.nested(() => {
      const exponent = this.#script();
      if (!this.is("^") || this.is("°", 1)) return exponent;
      this.at++;
      return call("^", exponent, this.#exponent());
    });
  }

  /** Words after a value are its unit. */
  #unit(value: Node): Node {
    if (this.peek()?.text.toLowerCase() === "base" && isWhole(value) && value.value.n >= 0n) {
      this.at++;
      return this.#inBase(value, `${value.value.n}`, this.#primary());
    }
    const words: string[] = [];
    for (;;) {
      const token = this.peek();
      if (token?.type === "word") words.push(token.text);
      else if (token?.text === "/" && this.peek(1)?.type === "word") words.push("/");
      else if (token?.text === "^" && this.peek(1)?.type === "number")
        words.push("^", this.peek(1)?.text ?? "");
      else if (token?.text === "^" && this.is("{", 1) && this.peek(2)?.type === "number" && this.is("}", 3)) {
        words.push("^", this.peek(2)?.text ?? "");
        this.at += 2;
      } else break;
      this.at += words.at(-2) === "^" ? 2 : 1;
    }
    return readable(withUnit(value, words, this.work));
  }

  /** A raised or lowered part: what braces hold, or one factor. */
  #script(): Node {
    if (this.is("{") || this.is("(")) return this.#primary();
    if (this.take("-")) return call("neg", this.#primary());
    // "x^23" in LaTeX is x^2 3, but whoever writes it means the 23rd power.
    return this.#primary();
  }

  #value({ value, digits, cut }: Token): NumberNode {
    if (value === undefined) throw new Unreadable();
    return { kind: "number", value, ...(digits === undefined ? {} : { digits }), ...(cut ? { cut } : {}) };
  }

  #primary(): Node {
    const token = this.peek();
    if (token === undefined) throw new Unreadable();
    this.at++;
    switch (token.type) {
      case "number": {
        const value = this.#value(token);
        return this.take("_") ? this.#inBase(value, token.text, this.#script()) : value;
      }
      case "letter":
        return token.text === "a" && this.peek()?.type === "word" ? this.#words() : this.#letter(token.text);
      case "function":
        return this.#function(token.text);
      case "command":
        return this.#command(token);
      case "begin":
        return this.#matrix(token.text);
      case "sign":
        return this.#bracket(token.text);
      case "word":
        return this.#words();
      default:
        throw new Unreadable();
    }
  }

  #words(): Node {
    const number = wordNumber(this.tokens, this.at - 1, this.work);
    if (number === undefined) throw new Unreadable();
    this.at = number.end;
    return number.node;
  }

  #inBase(node: NumberNode, digits: string, base: Node): Node {
    return readable(inBase(node, digits, base));
  }

  #letter(name: string): Node {
    if (name === "pi") return { kind: "constant", name: "pi" };
    let full = name;
    if (this.take("_")) full += `_${this.#label()}`;
    while (this.take("'")) full += "'";
    if (full === "e" || full === "i") return { kind: "constant", name: full };
    return { kind: "variable", name: full };
  }

  /** The text of a lowered part. */
  #label(): string {
    if (!this.take("{")) {
      const text = this.peek()?.text ?? "";
      this.at++;
      return text;
    }
    let text = "";
    while (this.peek() !== undefined && !this.is("}")) text += element(this.tokens, this.at++).text;
    this.take("}");
    return text;
  }

  #function(name: string): Node {
    let base: Node | undefined;
    if (this.take("_")) base = this.#script();
    let exponent: Node | undefined;
    if (this.take("^")) exponent = this.#script();
    let argument: Node;
    if (this.is("(") || this.is("[") || this.is("{")) argument = this.#primary();
    else argument = this.#argument();
    const args = argument.kind === "group" ? argument.items : [argument];
    const value = base === undefined ? call(name, ...args) : call(name, ...args, base);
    if (exponent === undefined) return value;
    if (
      exponent.kind === "call" &&
      exponent.name === "neg" &&
      isWhole(exponent.args[0]) &&
      exponent.args[0].value.n === 1n
    )
      return call(`a${name}`, ...args);
    return call("^", value, exponent);
  }

  /** What a function without brackets takes: factors up to the next sign or function. */
  #argument(): Node {
    let value = this.#factor();
    while (this.#beginsFactor() && this.peek()?.type !== "function" && !this.is("("))
      value = call("*", value, this.#power());
    return value;
  }

  #command(token: Token): Node {
    const name = token.text;
    if (name === "vulgar") return this.#value(token);
    if (/^[dtc]?frac$/.test(name)) return call("/", this.#piece(), this.#piece());
    if (/^[dt]?binom$/.test(name)) return call("binomial", this.#piece(), this.#piece());
    if (name === "sqrt") {
      const degree = this.take("[") ? this.#sum() : undefined;
      if (degree !== undefined && !this.take("]")) throw new Unreadable();
      const inside = this.is("{") || this.is("(") ? this.#primary() : this.#piece();
      return degree === undefined ? call("sqrt", inside) : call("root", inside, degree);
    }
    if (faceCommands.has(name)) return this.#piece();
    if (accentCommands.has(name)) {
      const inside = this.#piece();
      return inside.kind === "variable" ? { kind: "variable", name: `${name} ${inside.name}` } : inside;
    }
    throw new Unreadable();
  }

  /** An argument of a command: braces, or one digit or letter. */
  #piece(): Node {
    const token = this.peek();
    if (token?.type === "number" && token.text.length > 1 && /^\d+$/.test(token.text)) {
      // "\frac12": each digit is an argument of its own.
      const rest = token.text.slice(1);
      const head = token.text.slice(0, 1);
      const value = rational(BigInt(rest), 1n, this.work);
      if (value === undefined) throw new Unreadable();
      this.tokens = [...this.tokens];
      const tokens = [...this.tokens];
      tokens[this.at] = { type: "number", text: rest, space: false, value };
      this.tokens = tokens;
      if (!spend(this.work, tokens.length)) throw new Unreadable();
      return { kind: "number", value: whole(BigInt(head)) };
    }
    return this.nested(() => this.#primary());
  }

  #matrix(name: string): Node {
    return this.nested(() => {
      const rows: Node[][] = [[]];
      while (this.peek() !== undefined && this.peek()?.type !== "end") {
        if (this.peek()?.type === "row") {
          this.at++;
          rows.push([]);
        } else if (!this.take("&")) rows.at(-1)?.push(this.#list());
      }
      if (this.peek()?.text !== name) throw new Unreadable();
      this.at++;
      return { kind: "matrix", rows: rows.filter((row) => row.length > 0) };
    });
  }

  #bracket(open: string): Node {
    if (currencySigns.has(open)) {
      const value = this.#primary();
      if (value.kind === "number") return { kind: "quantity", value, unit: open };
      if (open !== "$") throw new Unreadable();
      return value;
    }
    if (open === "∞") return { kind: "constant", name: "infinity" };
    if (setName(open)) return { kind: "namedSet", name: namedSets[open] };
    if (open === "|") {
      const before = this.#inBars++;
      const inside = this.#sum();
      this.#inBars = before;
      if (!this.take("|")) throw new Unreadable();
      return call("abs", inside);
    }
    const rounded = open === "⌊" ? "⌋" : open === "⌈" ? "⌉" : undefined;
    if (rounded !== undefined) {
      const inside = this.#sum();
      if (!this.take(rounded)) throw new Unreadable();
      return call(open === "⌊" ? "floor" : "ceil", inside);
    }
    const ends = closings[open];
    if (ends === undefined) throw new Unreadable();
    const bars = this.#inBars;
    this.#inBars = 0;
    const from = this.at;
    const items = ends.some((end) => this.is(end)) ? [] : this.#items();
    this.#inBars = bars;
    const close = ends.find((end) => this.take(end));
    if (close === undefined) throw new Unreadable();
    const [only] = items;
    // "(1,234)" is a pair, not a number in brackets.
    if (open !== "{" && this.at === from + 2 && this.tokens[from]?.marked === true) throw new Unreadable();
    if (open === "⦃" || (open === "{" && items.length > 1))
      return items.length === 0
        ? { kind: "namedSet", name: "empty" }
        : { kind: "group", shape: "set", open: "{", close: "}", items };
    if (items.length === 1 && only !== undefined) return only;
    return { kind: "group", shape: "tuple", open, close, items };
  }
}

/**
 * The tree of an answer under one reading; undefined where it cannot be read as mathematics.
 *
 * @param text at most some thousand characters; depth, tokens and work are bounded.
 */
export const parse = (text: string, reading: Reading, work: Work): { node: Node; scan: Scan } | undefined => {
  const scanned = scan(text, reading, work);
  if (scanned === undefined || scanned.tokens.length === 0 || !spend(work, scanned.tokens.length))
    return undefined;
  try {
    const node = new Parser(scanned, work).whole();
    return isWithinDepth(node, maxLevels) ? { node, scan: scanned } : undefined;
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
};
