/** The frame of a page: one HTML file that needs nothing from the network. */
import { type Insert, Markup, markup } from "./markup.ts";
import { pageStyle } from "./style.ts";

/** What {@link pageFrame} puts around its content. */
export type PageFrame = {
  /** What kind of page it is, for example `mahalo report`. */
  kind: string;
  /** What it is about. */
  name: string;
  description?: string | undefined;
};

/**
 * A whole page. All text from outside is escaped, a content security policy forbids any request, and the page has no
 * script. It follows the reader's choice of light or dark.
 */
export const pageFrame = ({ kind, name, description }: PageFrame, content: readonly Insert[]): string =>
  markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${name} · ${kind}</title>
<style>${new Markup(pageStyle())}</style>
</head>
<body>
<header><p class="soft">${kind}</p><h1>${name}</h1>${description !== undefined && markup`<p>${description}</p>`}</header>
<main>
${content}
</main>
</body>
</html>
`.toString();
