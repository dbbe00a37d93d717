/** GET /health, /ready and /metrics: for those who run the server. */
import type { Route } from "../context.ts";
import { notReady } from "../http/api-error.ts";

/** The routes of health and metrics. */
export const healthRoute: Route = (app, { accepting, metrics }) => {
  app.get("/health", (request) => request.json({ status: "ok" }));
  app.get("/ready", (request) => {
    if (!accepting()) throw notReady("the server is about to stop");
    return request.json({ status: "ready" });
  });
  app.get("/metrics", async (request) => {
    const { type, body } = await metrics.text();
    return request.body(body, 200, { "content-type": type });
  });
};
