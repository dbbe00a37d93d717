/** What stands around an answer and is no part of it: thoughts, marks of bold type, dollars around mathematics. */

const thoughtEnds =
  /<\/(?:think|thinking|thoughts?|reasoning|scratchpad|reflection)>|\[\/think\]|◁\/think▷|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>/gi;
const thoughtBegins =
  /<(?:think|thinking|thoughts?|reasoning|scratchpad|reflection)>|\[think\]|◁think▷|<\|begin_of_thought\|>/i;

/** A reply without its thoughts: what follows the last end of them, up to where others begin. */
export const withoutThoughts = (text: string): string => {
  if (!/<[/|a-z]|\[\/?th|◁/i.test(text)) return text;
  let from = 0;
  for (const { index, 0: tag } of text.matchAll(thoughtEnds)) from = index + tag.length;
  const rest = text.slice(from);
  const begin = thoughtBegins.exec(rest);
  return begin === null ? rest : rest.slice(0, begin.index);
};

const plainWord = /(?<![\\A-Za-z])[A-Za-z]{2,}/;

/** Whether what stands between two dollars is mathematics, and not running text between two amounts of money. */
export const isMathematics = (inside: string): boolean => {
  if (/^\s|\s$|^$/.test(inside) && !/\\/.test(inside)) return false;
  const bare = inside.replaceAll(/\\(?:text\w*|mathrm|mbox|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+/g, " ");
  return !/[A-Za-z]{3,}\s+[A-Za-z]/.test(bare) && !(plainWord.test(bare) && !/[=<>^_\\]/.test(inside));
};

/** A text with its mathematics bare: `$...$`, `$$...$$`, `\(...\)` and `\[...\]` without their brackets. */
export const bareMathematics = (text: string): string => {
  const displayed = text.includes("\\") ? text.replaceAll(/\\[()[\]]/g, " ") : text;
  if (!displayed.includes("$")) return displayed;
  return displayed
    .replaceAll(/\$\$([^$]+)\$\$/g, " $1 ")
    .replaceAll(/(?<!\\)\$((?:[^$\\]|\\.)+)\$(?!\d)/g, (whole, inside: string) =>
      isMathematics(inside) ? inside : whole,
    );
};

/** A text without marks of bold and slanted type, and of code, around its words; powers such as `2**3` stay. */
export const withoutMarks = (marked: string): string => {
  if (!/[*`_<\u2000-\uffff]/.test(marked)) return marked;
  const text = marked
    .replaceAll(/<\/?(?:b|i|u|em|strong|code|span|p|br)\s*\/?>/gi, "")
    .replaceAll(/(?:\p{Extended_Pictographic}|\ufe0f)/gu, "")
    .trim();
  return text
    .replaceAll(/(?<![\w)}\]*])(\*{1,3})(?=[^\s*])([^*\n]*[^\s*])\1(?![\w(*\\])/g, "$2")
    .replaceAll(/(?<!\w)__(?=\S)([^_\n]+)__(?!\w)/g, "$1")
    .replaceAll(/(?<![\w}\\)])_(?=[^\s_])([^_\n]*[^\s_])_(?![\w{\\(])/g, "$1")
    .replaceAll("`", "")
    .replace(/^[\s*_]*(?=[^\s*_]|$)/, "")
    .replace(/[\s*]+$/, "");
};
