/** GET /v1/models and /v1/models/{id}: what is served, its objectives, and the results that its run measured. */
import { modelOf } from "../api/asked-mix.ts";
import type { Route } from "../context.ts";
import type { ModelInfo } from "../engine/protocol.ts";

const entry = ({ id, created, objectives, contextLength, hash, control }: ModelInfo) => ({
  id,
  object: "model" as const,
  created,
  owned_by: "mahalo",
  mahalo: {
    objectives,
    context_length: contextLength,
    model_hash: hash,
    measured: control === undefined ? null : { points: control.points, scale: control.scale ?? null },
  },
});

/** The routes of models. */
export const modelsRoute: Route = (app, { engine }) => {
  app.get("/v1/models", (request) =>
    request.json({ object: "list", data: [...engine.models.values()].map(entry) }),
  );
  app.get("/v1/models/:id{.+}", (request) =>
    request.json(entry(modelOf(engine.models, request.req.param("id")).info)),
  );
};
