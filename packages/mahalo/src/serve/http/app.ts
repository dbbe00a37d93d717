/** The app behind the doors: routes, an id for every response, errors in one shape, and a log line for each request. */
import { MahaloError } from "@mahalo/torch";
import { Hono } from "hono";
import { routePath } from "hono/route";
import type { Logger } from "pino";
import type { ServeContext, ServeEnv } from "../context.ts";
import { routes } from "../routes/registry.ts";
import { ApiError, asApiError } from "./api-error.ts";

/** The response that an error is told by. */
const errorResponse = (error: ApiError): Response =>
  new Response(JSON.stringify(error.body), {
    status: error.status,
    headers: { "content-type": "application/json", ...error.headers },
  });

/** Makes the app. */
export const makeApp = (context: ServeContext, log: Logger): Hono<ServeEnv> => {
  const app = new Hono<ServeEnv>({ strict: true });
  app.onError((error) => {
    // Nobody reads it; for those who watch it is the client's doing.
    const left = error instanceof MahaloError && error.code === "E_INTERRUPTED" && context.accepting();
    if (left) return new Response(null, { status: 499 });
    const told = asApiError(error);
    if (told.status >= 500) log.error({ err: error }, "a request failed");
    return errorResponse(told);
  });
  app.notFound((request) =>
    errorResponse(
      new ApiError(404, `there is no ${request.req.method} ${request.req.path.slice(0, 200)} here`, {
        code: "route_not_found",
      }),
    ),
  );
  app.use(async (request, next) => {
    await next();
    context.metrics.response(routePath(request, -1), request.res.status);
  });
  for (const route of routes) route(app, context);
  return app;
};
