/** Writes src/ops.generated.ts: one typed, documented function for each operator of ops.txt, from libtorch's own schemas. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

type Argument = { type: string; name: string; hasDefault: boolean; keyword: boolean };
type Schema = { args: Argument[]; returns: string[]; text: string };

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
// The generator needs the addon alone: ops.generated.ts may not exist yet.
const native = createRequire(import.meta.url)(here("../build/mahalo_torch.node")) as {
  schemas(name: string): string[];
  version(): string;
};

/** Splits at top-level commas: brackets and parentheses nest. */
const split = (text: string): string[] => {
  const parts: string[] = [];
  let depth = 0;
  let part = "";
  for (const char of text) {
    if ("([{".includes(char)) depth += 1;
    if (")]}".includes(char)) depth -= 1;
    if (char === "," && depth === 0) {
      parts.push(part.trim());
      part = "";
    } else part += char;
  }
  if (part.trim()) parts.push(part.trim());
  return parts;
};

const parseSchema = (text: string): Schema => {
  const arrow = text.lastIndexOf(" -> ");
  const open = text.indexOf("(");
  const inside = text.slice(open + 1, text.lastIndexOf(")", arrow));
  const result = text.slice(arrow + 4);
  let keyword = false;
  const args: Argument[] = [];
  for (const part of split(inside)) {
    if (part === "*") {
      keyword = true;
      continue;
    }
    const [left = "", fallback] = part.split("=", 2);
    const space = left.lastIndexOf(" ");
    const type = left.slice(0, space).replace(/\([a-z0-9!|* >-]*\)/g, "");
    args.push({
      type,
      name: left.slice(space + 1),
      hasDefault: fallback !== undefined || type.endsWith("?"),
      keyword,
    });
  }
  const returns = result.startsWith("(") ? split(result.slice(1, -1)) : [result];
  return {
    args,
    returns: returns.map((declared) => (declared.split(" ")[0] ?? "").replace(/\([a-z0-9!|* >-]*\)/g, "")),
    text,
  };
};

const BASE: Record<string, string> = {
  Tensor: "Tensor",
  int: "number",
  SymInt: "number",
  float: "number",
  bool: "boolean",
  Scalar: "number | boolean",
  str: "string",
  ScalarType: "DType",
  Device: "string",
  Layout: "string",
  MemoryFormat: "string",
  Generator: "Generator",
};

const typescriptType = (type: string): string => {
  if (type.endsWith("?")) return `${typescriptType(type.slice(0, -1))} | null`;
  const list = /^(.*)\[\d*\]$/.exec(type);
  if (list?.[1]) {
    const element = typescriptType(list[1]);
    return element.includes("|") ? `readonly (${element})[]` : `readonly ${element}[]`;
  }
  const base = BASE[type];
  if (base === undefined) throw new Error(`no TypeScript type for ${type}`);
  return base;
};

/** How a value becomes what the boxed call takes. */
const pass = (name: string, type: string, optional: boolean): string => {
  const bare = type.replace(/\?$/, "");
  const nullable = optional || type.endsWith("?");
  if (bare === "Tensor" || bare === "Generator") return nullable ? `${name}?.handle` : `${name}.handle`;
  if (/^Tensor\[\d*\]$/.test(bare)) return `${name}${nullable ? "?" : ""}.map(handleOf)`;
  if (/^Tensor\?\[\d*\]$/.test(bare)) return `${name}.map(handleOrNull)`;
  return name;
};

const camel = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
const RESERVED = new Set(["end", "default", "function", "in", "from"]);
const local = (name: string): string => (RESERVED.has(name) && name !== "end" ? `${name}_` : camel(name));

const result = (schema: Schema, args: Argument[]): { type: string; wrap: (call: string) => string } => {
  // In-place operators write to `self`, out= variants to `out`: the caller gets that very tensor back.
  const written = args.find((arg) => schema.text.includes(`!) ${arg.name}`));
  const only = schema.returns.length === 1 ? schema.returns[0] : undefined;
  if (only === undefined && schema.returns.length === 0) return { type: "void", wrap: (call) => `${call};` };
  if (only === "()" || only === "") return { type: "void", wrap: (call) => `${call};` };
  if (written && only === "Tensor") {
    // An out= operator may resize what it writes into.
    const back = written.name === "out" ? "out.refresh()" : local(written.name);
    return { type: "Tensor", wrap: (call) => `${call};\n  return ${back};` };
  }
  if (only === "Tensor") return { type: "Tensor", wrap: (call) => `return new Tensor(${call} as number);` };
  if (only === "Tensor[]") {
    return { type: "Tensor[]", wrap: (call) => `return (${call} as number[]).map(wrap);` };
  }
  if (only !== undefined)
    return { type: typescriptType(only), wrap: (call) => `return ${call} as ${typescriptType(only)};` };
  const types = schema.returns.map(typescriptType);
  // Attention returns an int after its tensors, hence the mixed tuples.
  const items = schema.returns.map((type, i) =>
    type === "Tensor" ? `wrap(r[${i}] as number)` : `r[${i}] as ${types[i]}`,
  );
  return {
    type: `[${types.join(", ")}]`,
    wrap: (call) => `const r = ${call} as unknown[];\n  return [${items.join(", ")}];`,
  };
};

const generate = (qualified: string, name: string, description: string, check?: string): string => {
  const [operator = "", overload = ""] = qualified.split(".");
  const wanted = overload ? `${operator}.${overload}(` : `${operator}(`;
  const text = native.schemas(operator).find((schema) => schema.startsWith(wanted));
  if (text === undefined) throw new Error(`${qualified} is not in this libtorch`);
  const schema = parseSchema(text);
  const positional = schema.args.filter((arg) => !arg.keyword);
  const keywords = schema.args.filter(
    (arg) => arg.keyword && !(arg.name === "layout" || arg.name === "pin_memory"),
  );
  // TypeScript allows no required parameter after an optional one.
  const lastRequired = positional.findLastIndex((arg) => !arg.hasDefault);
  const parameters = positional.map(
    (arg, i) =>
      `${local(arg.name)}${arg.hasDefault && i > lastRequired ? "?" : ""}: ${typescriptType(arg.type)}`,
  );
  const needed = keywords.some((arg) => !arg.hasDefault);
  if (keywords.length > 0) {
    const fields = keywords.map((arg) =>
      arg.hasDefault
        ? `${local(arg.name)}?: ${typescriptType(arg.type)} | undefined`
        : `${local(arg.name)}: ${typescriptType(arg.type)}`,
    );
    const names = keywords.map((arg) => local(arg.name)).join(", ");
    parameters.push(`{ ${names} }: { ${fields.join("; ")} }${needed ? "" : " = {}"}`);
    // A required keyword makes every parameter before it required as well.
    if (needed) for (const i of positional.keys()) parameters[i] = (parameters[i] ?? "").replace("?: ", ": ");
  }
  const values = schema.args.map((arg) =>
    keywords.includes(arg) || !arg.keyword ? pass(local(arg.name), arg.type, arg.hasDefault) : "undefined",
  );
  const { type, wrap } = result(schema, schema.args);
  const id = `$${name}`;
  const call = `native.call((${id} ||= native.resolve("${operator}", "${overload}")), ${values.join(", ")})`;
  return [
    `let ${id} = 0;`,
    `/** ${description} \`${text.replace(/^aten::/, "").replaceAll("*/", "* /")}\` */`,
    `export const ${name} = (${parameters.join(", ")}): ${type} => {\n  ${check ? `${check};\n  ` : ""}${wrap(call)}\n};\n`,
  ].join("\n");
};

const header =
  (): string => `/** Operators of libtorch ${native.version()}, generated from their own schemas by scripts/generate-ops.ts: do not edit. */
import { checkAttention } from "./checks.ts";
import { type DType, native } from "./native.ts";
import type { Generator } from "./random.ts";
import { Tensor } from "./tensor.ts";

const handleOf = (tensor: Tensor): number => tensor.handle;
const handleOrNull = (tensor: Tensor | null): number | null => (tensor === null ? null : tensor.handle);
const wrap = (handle: number): Tensor => new Tensor(handle);

`;

/** The text of src/ops.generated.ts for the operators of ops.txt in the libtorch that the addon runs on. */
export const generateOps = (): string => {
  const entries = readFileSync(here("ops.txt"), "utf8")
    .split("\n")
    .filter((line) => line.trim() && !line.startsWith("#"))
    .map((line) => line.split(" | ").map((part) => part.trim()));
  const body = entries.map(([operator = "", name = "", description = "", check]) =>
    generate(operator, name, description, check),
  );
  return header() + body.join("\n");
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const target = here("../src/ops.generated.ts");
  // Renamed into place, so that an interrupted run leaves the old file whole.
  writeFileSync(`${target}.tmp`, generateOps(), { flush: true });
  renameSync(`${target}.tmp`, target);
  console.log(`wrote src/ops.generated.ts for libtorch ${native.version()}`);
}
