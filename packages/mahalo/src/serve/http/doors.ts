/** The doors of the server: what a request must bring before anything looks at its path or its body. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { ApiError } from "./api-error.ts";

/** What the doors look at: the request's line and headers, as they came. */
export type Knock = { method: string; url: string; headers: IncomingHttpHeaders };

/** Who may come in. */
export type DoorOptions = {
  /** Keys of which one is needed; none: no key is asked for. */
  keys: readonly string[];
  /** Names and addresses that the server may be called by, without ports. */
  hosts: readonly string[];
};

/** The path that needs no key; compared with the raw URL, which no decoding has touched. */
const publicPath = "/health";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** The key that a request brings, wherever it stands. */
const keyOf = ({ authorization, "x-api-key": own }: IncomingHttpHeaders): string | undefined => {
  const bearer = authorization === undefined ? undefined : /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  return bearer ?? (typeof own === "string" ? own : undefined);
};

/** The name in a Host header; undefined where it is none. */
const hostName = (host: string | undefined): string | undefined =>
  host === undefined
    ? undefined
    : /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(host)?.[1]?.toLowerCase();

const isJson = (type: string | undefined): boolean =>
  type !== undefined && /^application\/json *(;.*)?$/i.test(type.trim());

/**
 * Makes the check of all requests: what is wrong with one, or undefined.
 *
 * In this order: the Host is a name of this server (which a page of another site, whose name was bound to this address,
 * does not send); no page of another origin asks; a key is there and right, compared in constant time; a body is JSON.
 */
export const doors = ({ keys, hosts }: DoorOptions): ((knock: Knock) => ApiError | undefined) => {
  const digests = keys.map(digest);
  const allowed = new Set(hosts.map((host) => host.toLowerCase()));
  const knows = (key: string): boolean => {
    const given = digest(key);
    // All are compared, so that time tells nothing of which one is near.
    return digests.reduce((found, each) => timingSafeEqual(each, given) || found, false);
  };
  return ({ method, url, headers }) => {
    const host = hostName(headers.host);
    if (host === undefined || !allowed.has(host))
      return new ApiError(
        403,
        "this server is not called by that Host; it can be allowed with --allow-host",
        {
          code: "host_not_allowed",
        },
      );
    const { origin } = headers;
    if (origin !== undefined && origin !== `http://${headers.host}` && origin !== `https://${headers.host}`)
      return new ApiError(403, "pages of other origins may not ask this server", {
        code: "origin_not_allowed",
      });
    const path = url.split("?", 1)[0];
    if (digests.length > 0 && path !== publicPath) {
      const key = keyOf(headers);
      if (key === undefined || !knows(key))
        return new ApiError(
          401,
          key === undefined ? "a key is needed: Authorization: Bearer KEY" : "the key is wrong",
          {
            code: key === undefined ? "missing_api_key" : "invalid_api_key",
            headers: { "www-authenticate": "Bearer" },
          },
        );
    }
    if (method === "POST" && !isJson(headers["content-type"]))
      return new ApiError(415, "the body must be JSON: Content-Type: application/json", {
        code: "unsupported_media_type",
      });
    const { "content-encoding": encoding = "identity" } = headers;
    if (encoding !== "identity")
      return new ApiError(415, "the body must come as it is, without Content-Encoding", {
        code: "unsupported_media_type",
      });
    return undefined;
  };
};
