/** Facts about finding files: mirror, cache, hub, and a hub and a network that misbehave. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { stopWaitingOn } from "../../core/interrupt.ts";
import { silenceProgress } from "../../core/progress.ts";
import { type HubOptions, resolveFile, resolveModelFolder } from "./locate.ts";
import { isRelativePath, isRepoId } from "./names.ts";
import { hubSettings } from "./settings.ts";
import { servedId, startHub, type TestHub } from "./testing/server.ts";

let root = "";
let hub: TestHub;
beforeEach(async () => {
  silenceProgress(true);
  root = await mkdtemp(join(tmpdir(), "mahalo-hub-"));
  hub = await startHub();
});
afterEach(async () => {
  await hub.close();
  await rm(root, { recursive: true });
});

/** Patience that no busy machine uses up, but for a silence that a test makes. */
const patience = { answer: 3_600_000, stall: 3_600_000, retry: 1, tries: 3 };
const options = (environment: NodeJS.ProcessEnv = {}): HubOptions => ({
  environment: { HF_ENDPOINT: hub.endpoint, HF_HOME: join(root, "hf"), ...environment },
  patience,
});
const get = (file: string, environment?: NodeJS.ProcessEnv, revision?: string) =>
  resolveFile({ hub: servedId, file, revision }, options(environment));
const code = (name: string) => expect.objectContaining({ code: name });
const write = async (path: string, text: string): Promise<string> => {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  return path;
};
const bytes = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) % 256));
const repoFolder = () => join(root, "hf", "hub", "datasets--owner--name");
const contents = (): number => hub.seen.filter(({ method }) => method === "GET").length;

describe("where a file is looked for", () => {
  test("a path that is there is itself; one that is not names its nearest neighbour", async () => {
    const path = await write(join(root, "rows.jsonl"), "x");
    expect(await resolveFile({ path })).toBe(path);
    await expect(resolveFile({ path: join(root, "row.jsonl") })).rejects.toThrow(/"rows\.jsonl"/);
    await expect(resolveFile({ path: join(root, "no", "row.jsonl") })).rejects.toEqual(code("E_FILE_READ"));
  });

  test("the mirror comes first, then the cache, and neither asks the network", async () => {
    const mirrored = await write(join(root, "mirror", servedId, "data", "a.jsonl"), "from the mirror");
    const mirror = { MAHALO_MIRROR: join(root, "mirror") };
    expect(await get("data/a.jsonl", mirror)).toBe(mirrored);
    await write(join(repoFolder(), "refs", "main"), "2".repeat(40));
    const cached = await write(join(repoFolder(), "snapshots", "2".repeat(40), "b.jsonl"), "from the cache");
    expect(await get("b.jsonl", mirror)).toBe(cached);
    expect(await get("b.jsonl", mirror, "2".repeat(40))).toBe(cached);
    expect(hub.seen).toEqual([]);
  });

  test("what neither has is an error offline", async () => {
    for (const word of ["1", "true", "YES", "on"]) {
      await expect(get("a.jsonl", { HF_HUB_OFFLINE: word })).rejects.toEqual(code("E_HUB_OFFLINE"));
    }
    await expect(resolveModelFolder(servedId, undefined, options({ HF_HUB_OFFLINE: "1" }))).rejects.toEqual(
      code("E_HUB_OFFLINE"),
    );
    expect(hub.seen).toEqual([]);
  });
});

describe("downloads", () => {
  test("a small file lands in the cache's layout and is not fetched again", async () => {
    hub.files.set("data/a.jsonl", { content: Buffer.from("small") });
    const path = await get("data/a.jsonl");
    expect(path).toBe(join(repoFolder(), "snapshots", hub.commit, "data", "a.jsonl"));
    expect(readFileSync(path, "utf8")).toBe("small");
    expect(readlinkSync(path)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    expect(readFileSync(join(repoFolder(), "refs", "main"), "utf8")).toBe(hub.commit);
    const before = hub.seen.length;
    expect(await get("data/a.jsonl", { HF_HUB_OFFLINE: "1" })).toBe(path);
    expect(hub.seen.length).toBe(before);
    expect(readdirSync(join(repoFolder(), "blobs"))).toHaveLength(1);
  });

  test("an empty file is a file", async () => {
    hub.files.set("empty.txt", { content: Buffer.alloc(0) });
    expect(readFileSync(await get("empty.txt"), "utf8")).toBe("");
  });

  test("a large file comes from the store, which never sees the token", async () => {
    const content = bytes(300_000);
    hub.files.set("big.bin", { content, large: true });
    hub.token = "secret";
    expect(readFileSync(await get("big.bin", { HF_TOKEN: "secret" })).equals(content)).toBe(true);
    const tokens = (host: string) =>
      new Set(hub.seen.filter((one) => one.host === host).map(({ token }) => token));
    expect(tokens("hub")).toEqual(new Set(["Bearer secret"]));
    expect(tokens("store")).toEqual(new Set([undefined]));
  });

  test("a repository with a new name is followed", async () => {
    hub.files.set("a.txt", { content: Buffer.from("moved") });
    const path = await resolveFile({ hub: "old/name", file: "a.txt" }, options());
    expect(readFileSync(path, "utf8")).toBe("moved");
  });

  test("a cut connection goes on where it stopped", async () => {
    const content = bytes(500_000);
    hub.files.set("big.bin", { content, large: true, cuts: [100_000, 50_000, 1] });
    expect(readFileSync(await get("big.bin")).equals(content)).toBe(true);
    const ranges = hub.seen.filter(({ host }) => host === "store").map(({ range }) => range);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.length).toBe(4);
    expect(ranges.slice(1).every((range) => range !== undefined)).toBe(true);
  });

  test("a download that was given up goes on in the next process", async () => {
    const content = bytes(500_000);
    hub.files.set("big.bin", { content, large: true, cuts: [200_000], failures: [] });
    hub.files.get("big.bin")?.cuts?.push(0, 0, 0, 0, 0);
    await expect(get("big.bin")).rejects.toEqual(code("E_HUB_UNREACHABLE"));
    const [partial] = readdirSync(join(repoFolder(), "blobs"));
    expect(partial).toMatch(/\.incomplete$/);
    hub.files.set("big.bin", { content, large: true });
    hub.seen.length = 0;
    expect(readFileSync(await get("big.bin")).equals(content)).toBe(true);
    expect(hub.seen.find(({ host }) => host === "store")?.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(readdirSync(join(repoFolder(), "blobs"))).toHaveLength(1);
  });

  test("a request to stop ends a download", async () => {
    const content = bytes(200_000);
    hub.files.set("big.bin", { content, large: true });
    const controller = new AbortController();
    stopWaitingOn(controller.signal);
    controller.abort();
    await expect(get("big.bin")).rejects.toEqual(code("E_INTERRUPTED"));
    stopWaitingOn(undefined);
    expect(readFileSync(await get("big.bin")).equals(content)).toBe(true);
  });

  test("a server without ranges sends the file anew", async () => {
    const content = bytes(200_000);
    hub.files.set("big.bin", { content, large: true, noRanges: true, cuts: [100_000] });
    expect(readFileSync(await get("big.bin")).equals(content)).toBe(true);
  });

  test("a part left of something else is found out by the hash and thrown away", async () => {
    const content = bytes(200_000);
    hub.files.set("big.bin", { content, large: true });
    const hash = (await get("big.bin").then((path) => readlinkSync(path))).split("/").at(-1);
    await rm(repoFolder(), { recursive: true });
    for (const left of ["x".repeat(1000), "x".repeat(200_000), "x".repeat(300_000)]) {
      await write(join(repoFolder(), "blobs", `${hash}.incomplete`), left);
      expect(readFileSync(await get("big.bin")).equals(content)).toBe(true);
      await rm(repoFolder(), { recursive: true });
    }
  });

  test.each([true, false])("wrong content is never given a name (large: %s)", async (large) => {
    hub.files.set("a.bin", { content: bytes(1000), large, wrongContent: bytes(1001).subarray(1) });
    await expect(get("a.bin")).rejects.toEqual(code("E_HUB_CHECKSUM"));
    expect(readdirSync(join(repoFolder(), "blobs"))).toEqual([]);
    expect(existsSync(join(repoFolder(), "snapshots"))).toBe(false);
  });

  test.each([true, false])("no more is fetched than was announced (large: %s)", async (large) => {
    const longer = Buffer.concat([bytes(1000), bytes(20_000_000)]);
    hub.files.set("a.bin", { content: bytes(1000), large, wrongContent: longer });
    await expect(get("a.bin")).rejects.toThrow(/is longer than the 1000 bytes announced/);
    expect(readdirSync(join(repoFolder(), "blobs"))).toEqual([]);
  });

  test("a busy server is asked again, a broken one is given up", async () => {
    hub.files.set("a.bin", { content: bytes(1000), large: true, failures: [503, 429] });
    expect(readFileSync(await get("a.bin")).length).toBe(1000);
    hub.files.set("b.bin", { content: bytes(1001), large: true, failures: [500, 500, 500, 500] });
    await expect(get("b.bin")).rejects.toEqual(code("E_HUB_UNREACHABLE"));
  });

  test("a connection that goes silent is given up", async () => {
    hub.files.set("a.bin", { content: bytes(100_000), large: true, stallAfter: 0 });
    const impatient = { ...options(), patience: { ...patience, answer: 2000, stall: 200 } };
    await expect(resolveFile({ hub: servedId, file: "a.bin" }, impatient)).rejects.toThrow(
      /stalled|no answer/,
    );
  });

  test("a hub that is not there names its address", async () => {
    await expect(get("a.bin", { HF_ENDPOINT: "http://127.0.0.1:9" })).rejects.toThrow(/127\.0\.0\.1:9/);
  });

  test("a server that is no hub is told apart", async () => {
    hub.files.set("a.bin", { content: bytes(10) });
    hub.commit = "not a commit";
    await expect(get("a.bin")).rejects.toEqual(code("E_HUB_PROTOCOL"));
  });

  test("no such file, revision or repository; no access", async () => {
    await expect(get("none.txt")).rejects.toThrow(
      /owner\/name: none\.txt: .* has no such file \(no such entry\)/,
    );
    await expect(get("a.txt", {}, "v9")).rejects.toThrow(/owner\/name@v9: .*no such revision/);
    const other = resolveFile({ hub: "nobody/nothing", file: "a.txt" }, options());
    await expect(other).rejects.toEqual(code("E_HUB_NOT_FOUND"));
    hub.token = "secret";
    await expect(get("a.txt")).rejects.toEqual(code("E_HUB_DENIED"));
    await expect(get("a.txt", { HF_TOKEN: "wrong" })).rejects.toThrow(/refuses access/);
  });

  test("two at once download once", async () => {
    hub.files.set("big.bin", { content: bytes(100_000), large: true });
    const [first, second] = await Promise.all([get("big.bin"), get("big.bin")]);
    expect(first).toBe(second);
    expect(hub.seen.filter(({ host }) => host === "store")).toHaveLength(1);
  });
});

describe("model folders", () => {
  const small = (text: string) => ({ content: Buffer.from(text) });
  const serveModel = () => {
    hub.files.set("config.json", small("{}"));
    hub.files.set("tokenizer.json", small("{} "));
    hub.files.set("model.safetensors", { content: bytes(5000), large: true });
    hub.files.set("consolidated.safetensors", { content: bytes(6000), large: true });
    hub.files.set("pytorch_model.bin", { content: bytes(7000), large: true });
    hub.files.set("onnx/model.onnx", { content: bytes(8000), large: true });
  };

  test("config, tokenizer and weights come, other formats do not", async () => {
    serveModel();
    const folder = await resolveModelFolder(servedId, undefined, options());
    expect(readdirSync(folder).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    const before = hub.seen.length;
    expect(await resolveModelFolder(servedId, undefined, options({ HF_HUB_OFFLINE: "1" }))).toBe(folder);
    expect(hub.seen.length).toBe(before);
  });

  test("the objectives' heads come along", async () => {
    serveModel();
    hub.files.set("mahalo.json", small("{}  "));
    hub.files.set("heads.safetensors", { content: bytes(900), large: true });
    const folder = await resolveModelFolder(servedId, undefined, options());
    expect(readdirSync(folder)).toEqual(expect.arrayContaining(["mahalo.json", "heads.safetensors"]));
  });

  test("shards come with their index; a cache that lacks one is completed", async () => {
    serveModel();
    hub.files.delete("model.safetensors");
    const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    hub.files.set(
      "model.safetensors.index.json",
      small(JSON.stringify({ metadata: {}, weight_map: { a: shards[0], b: shards[1] } })),
    );
    for (const shard of shards) hub.files.set(shard, { content: Buffer.from(shard), large: true });
    const folder = await resolveModelFolder(servedId, undefined, options());
    expect(readdirSync(folder)).toEqual(expect.arrayContaining([...shards, "model.safetensors.index.json"]));
    await rm(join(folder, shards[1] ?? ""));
    const before = contents();
    expect(await resolveModelFolder(servedId, undefined, options())).toBe(folder);
    expect(readdirSync(folder)).toEqual(expect.arrayContaining(shards));
    // The list of files; the shard's content was still in the cache.
    expect(contents() - before).toBe(1);
  });

  test("a repository without safetensors is refused, and its .gguf files are pointed at", async () => {
    hub.files.set("config.json", small("{}"));
    hub.files.set("pytorch_model.bin", { content: bytes(10), large: true });
    await expect(resolveModelFolder(servedId, undefined, options())).rejects.toEqual(
      code("E_HUB_NO_WEIGHTS"),
    );
    hub.files.set("m.Q8_0.gguf", { content: bytes(10), large: true });
    await expect(resolveModelFolder(servedId, undefined, options())).rejects.toMatchObject({
      hint: expect.stringContaining("owner/name/m.Q8_0.gguf"),
    });
  });

  test("a file list that leads out of the folder is refused", async () => {
    serveModel();
    hub.files.set("../../evil.safetensors", small("x"));
    await expect(resolveModelFolder(servedId, undefined, options())).rejects.toEqual(code("E_HUB_PROTOCOL"));
  });
});

describe("names and settings", () => {
  test("hub ids and paths that could lead elsewhere are refused", async () => {
    for (const id of [
      "name",
      "a/b/c",
      "../b",
      "a/..",
      "/b",
      "a/",
      "a b/c",
      "a--b/c",
      "a/.git",
      "https://x/y",
    ]) {
      expect(isRepoId(id), id).toBe(false);
      await expect(resolveFile({ hub: id, file: "a" }, options())).rejects.toEqual(code("E_HUB_NAME"));
    }
    for (const file of ["../a", "/a", "a/../../b", "a//b", "", ".", "a\\b", "C:a", "a\nb"]) {
      expect(isRelativePath(file), file).toBe(false);
      await expect(get(file)).rejects.toEqual(code("E_HUB_NAME"));
    }
    await expect(get("a", {}, "../main")).rejects.toEqual(code("E_HUB_NAME"));
    expect(hub.seen).toEqual([]);
  });

  test("a path that is let through stays below its folder", () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 12, unit: fc.constantFrom("a", ".", "/", "\\", " ", ":") }),
        (text) => {
          fc.pre(isRelativePath(text));
          expect(join("/root/folder", text).startsWith("/root/folder/")).toBe(true);
        },
      ),
    );
  });

  test("the customary variables decide, in the customary order", async () => {
    const token = await write(join(root, "hf", "token"), "from the file\n");
    expect(hubSettings({ HOME: root })).toMatchObject({ endpoint: "https://huggingface.co", offline: false });
    expect(hubSettings({ HF_HOME: join(root, "hf") })).toMatchObject({
      cache: join(root, "hf", "hub"),
      token: "from the file",
    });
    expect(hubSettings({ HF_TOKEN_PATH: token, HF_TOKEN: "t" }).token).toBe("t");
    expect(hubSettings({ HF_HUB_CACHE: "/c", HF_HOME: "/h" }).cache).toBe("/c");
    expect(hubSettings({ XDG_CACHE_HOME: "/x" }).cache).toBe("/x/huggingface/hub");
    expect(hubSettings({ HF_ENDPOINT: "http://mirror/", HF_HUB_OFFLINE: "0" })).toMatchObject({
      endpoint: "http://mirror",
      offline: false,
    });
  });
});
