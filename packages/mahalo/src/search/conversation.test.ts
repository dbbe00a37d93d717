/** Conversations: turns go on from what the cache holds, and are what a fresh start would give. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cachedDecoder, type Decoder, uncachedDecoder } from "../decode/decoder.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { tinyModel } from "../model/testing/tiny.ts";
import { Conversation, type ConversationOptions } from "./conversation.ts";

let model: LanguageModel;
beforeAll(async () => {
  model = await tinyModel("tiny-llama");
  model.heads.addNoisyCopies(["a", "b"], { seed: 1, std: 0.5, compute: "float32" });
});
afterAll(() => model.dispose());

const say = async (chat: Conversation, text: string): Promise<string> => {
  let all = "";
  for await (const piece of chat.say(text)) all += piece;
  expect(chat.messages.at(-1)).toEqual({ role: "assistant", content: all });
  return all;
};

const talk = async (options: ConversationOptions): Promise<string[]> => {
  const chat = new Conversation(model, { maxNewTokens: 12, ...options });
  const replies = [await say(chat, "hello"), await say(chat, "again")];
  chat.mix = { b: 1 };
  replies.push(await say(chat, "again"));
  chat.dispose();
  return replies;
};

describe("a conversation", () => {
  test.each([
    ["greedy", {}],
    ["sampled", { sampling: { temperature: 1 }, seed: 3, system: "Be brief." }],
  ])("%s: is the same with its cache carried on and computed anew", async (_kind, options) => {
    expect(await talk({ ...options, decoder: uncachedDecoder })).toEqual(await talk(options));
  });

  test("reads only what the cache does not hold", async () => {
    const read: number[] = [];
    const decoder = (one: LanguageModel): Decoder => {
      const inner = cachedDecoder(one);
      return {
        ...inner,
        rows: 1,
        bytes: 0,
        extend: (extensions) => {
          read.push(...extensions.map(({ ids }) => ids.length));
          return inner.extend(extensions);
        },
      };
    };
    const chat = new Conversation(model, {
      maxNewTokens: 8,
      decoder,
      system: "a long system message ".repeat(8),
    });
    await say(chat, "one");
    await say(chat, "two");
    const [first = 0, second = 0] = read;
    const whole = model.tokenizer.encode(
      model.template.render(chat.messages.slice(0, -1), { addGenerationPrompt: true }),
    );
    expect(first + second).toBeLessThan(whole.length + 16);
    expect(second).toBeLessThan(first / 2);
    chat.dispose();
  });

  test("takes another mix from the next reply on", async () => {
    const replies = async (mix: Record<string, number>): Promise<string> => {
      const chat = new Conversation(model, { maxNewTokens: 12, mix });
      const reply = await say(chat, "hello");
      chat.dispose();
      return reply;
    };
    expect(await replies({ a: 1 })).not.toBe(await replies({ b: 1 }));
    const chat = new Conversation(model, { maxNewTokens: 12, mix: { a: 1 } });
    await say(chat, "hello");
    chat.reset();
    chat.mix = { b: 1 };
    expect(await say(chat, "hello")).toBe(await replies({ b: 1 }));
    chat.dispose();
  });

  test("forgets a turn that was stopped", async () => {
    const chat = new Conversation(model, { maxNewTokens: 200 });
    const controller = new AbortController();
    const reply = chat.say("hello", controller.signal);
    await reply.next();
    controller.abort();
    await expect(
      (async () => {
        for (let step = await reply.next(); !step.done; step = await reply.next());
      })(),
    ).rejects.toMatchObject({ code: "E_INTERRUPTED" });
    expect(chat.messages).toEqual([]);
    expect(await say(chat, "hello")).not.toBe("");
    chat.dispose();
  });

  test("with a mix that the model does not have says so and stays as it was", async () => {
    const chat = new Conversation(model, { maxNewTokens: 4, mix: { c: 1 } });
    await expect(chat.say("hello").next()).rejects.toMatchObject({ code: "E_MIX_UNKNOWN_OBJECTIVE" });
    expect(chat.messages).toEqual([]);
    chat.dispose();
  });
});
