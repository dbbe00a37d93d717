/** The routes of the server; a new one is one file and one line here. */
import type { Route } from "../context.ts";
import { chatRoute } from "./chat.ts";
import { completionsRoute } from "./completions.ts";
import { healthRoute } from "./health.ts";
import { modelsRoute } from "./models.ts";
import { responsesRoute } from "./responses.ts";
import { scoreRoute } from "./score.ts";
import { tokensRoute } from "./tokens.ts";

/** All routes. */
export const routes: readonly Route[] = [
  chatRoute,
  completionsRoute,
  responsesRoute,
  modelsRoute,
  scoreRoute,
  tokensRoute,
  healthRoute,
];
