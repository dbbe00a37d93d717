/** A small server that speaks the hub's protocol, with the faults that tests ask for. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** A file of the served repository and how it misbehaves. */
export type ServedFile = {
  content: Buffer;
  /** Kept on another host, named by its SHA-256, reached by a redirect. Default false: served at once. */
  large?: boolean;
  /** Bytes after which the connection is cut, one entry an answer; later answers are whole. */
  cuts?: number[];
  /** Sent in place of the content, under the content's hash. */
  wrongContent?: Buffer;
  /** Ranges are ignored: every answer is the whole file. */
  noRanges?: boolean;
  /** Statuses to answer with first, one a request to the place that holds the content. */
  failures?: number[];
  /** Never ends an answer once so many bytes are sent. */
  stallAfter?: number;
};

/** A request as the server saw it. */
export type SeenRequest = {
  host: "hub" | "store";
  method: string;
  path: string;
  range?: string;
  token?: string;
};

/** A running pair of servers. */
export type TestHub = {
  endpoint: string;
  files: Map<string, ServedFile>;
  seen: SeenRequest[];
  commit: string;
  /** Token without which the hub answers 401; undefined for a public repository. */
  token: string | undefined;
  close(): Promise<void>;
};

/** The one repository there is. */
export const servedId = "owner/name";

const listen = (server: Server): Promise<string> =>
  new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`);
    });
  });

const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
const gitSha1 = (content: Buffer): string =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");

/** Sends a file's bytes, or what its faults leave of them. */
const sendContent = (file: ServedFile, request: IncomingMessage, response: ServerResponse): void => {
  const failure = file.failures?.shift();
  if (failure !== undefined) {
    response.writeHead(failure).end();
    return;
  }
  const content = file.wrongContent ?? file.content;
  const from = file.noRanges ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (from >= content.length && from > 0) {
    response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
    return;
  }
  const body = content.subarray(from);
  const headers = { "content-length": body.length };
  if (from > 0) {
    const range = `bytes ${from}-${content.length - 1}/${content.length}`;
    response.writeHead(206, { ...headers, "content-range": range });
  } else response.writeHead(200, headers);
  const cut = file.cuts?.shift();
  if (cut !== undefined) {
    // Not at once: a client that is told of the cut drops what it has received and not yet read.
    response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 200));
  } else if (file.stallAfter !== undefined) response.write(body.subarray(0, file.stallAfter));
  else response.end(body);
};

/** Starts a hub with its store for large files; both listen on this machine only. */
export const startHub = async (): Promise<TestHub> => {
  const note = (host: SeenRequest["host"], request: IncomingMessage): void => {
    const { method = "", url = "", headers } = request;
    hub.seen.push({
      host,
      method,
      path: url,
      ...(headers.range ? { range: headers.range } : {}),
      ...(headers.authorization ? { token: headers.authorization } : {}),
    });
  };

  const store = createServer((request, response) => {
    note("store", request);
    const hash = (request.url ?? "").slice(1);
    const file = [...hub.files.values()].find(({ content }) => sha256(content) === hash);
    if (file === undefined) response.writeHead(404).end();
    else sendContent(file, request, response);
  });

  const front = createServer((request, response) => {
    note("hub", request);
    const url = request.url ?? "";
    if (hub.token !== undefined && request.headers.authorization !== `Bearer ${hub.token}`) {
      response
        .writeHead(401, { "x-error-code": "RepoNotFound", "x-error-message": "Invalid credentials" })
        .end();
      return;
    }
    // A repository that was given another name.
    if (url.includes("/old/name/")) {
      response.writeHead(307, { location: url.replace("/old/name/", `/${servedId}/`) }).end();
      return;
    }
    const info = new RegExp(`^/api/(?:models|datasets)/${servedId}/revision/([^/]+)$`).exec(url);
    if (info !== null) {
      const siblings = [...hub.files.keys()].map((rfilename) => ({ rfilename }));
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ id: servedId, sha: hub.commit, siblings, extra: 1 }));
      return;
    }
    const asked = new RegExp(`^/(?:datasets/)?${servedId}/resolve/([^/]+)/(.+)$`).exec(url);
    const [, revision, path = ""] = asked ?? [];
    const file = hub.files.get(decodeURIComponent(path));
    if (asked === null || (revision !== "main" && revision !== hub.commit)) {
      response.writeHead(404, { "x-error-code": asked ? "RevisionNotFound" : "RepoNotFound" }).end();
    } else if (file === undefined) {
      response.writeHead(404, { "x-error-code": "EntryNotFound", "x-error-message": "no such entry" }).end();
    } else if (file.large) {
      const hash = sha256(file.content);
      response.writeHead(302, {
        location: `${storeAddress}/${hash}`,
        "x-repo-commit": hub.commit,
        "x-linked-etag": `"${hash}"`,
        "x-linked-size": file.content.length,
      });
      response.end();
    } else {
      response.setHeader("etag", `W/"${gitSha1(file.content)}"`);
      response.setHeader("x-repo-commit", hub.commit);
      if (request.method === "HEAD") response.writeHead(200, { "content-length": file.content.length }).end();
      else sendContent(file, request, response);
    }
  });

  const storeAddress = await listen(store);
  const hub: TestHub = {
    endpoint: await listen(front),
    files: new Map(),
    seen: [],
    commit: "1".repeat(40),
    token: undefined,
    close: async () => {
      for (const server of [front, store]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
  return hub;
};
