/** Facts about chat templates: what they see, what stops them, and what it costs. */
import { describe, expect, test } from "vitest";
import type { Message } from "../rows/messages.ts";
import { chatTemplate, defaultChatTemplate } from "./chat-template.ts";

const hello: Message[] = [{ role: "user", content: "Hi" }];
const talk: Message[] = [...hello, { role: "assistant", content: "Hello" }];
/** Without a limit that a busy machine could reach, unless one is given. */
const make = (text: string, limit = 3_600_000) =>
  chatTemplate(text, { where: "model/chat_template.jinja", limit });
const code = (name: string) => expect.objectContaining({ code: name });

describe("chatTemplate", () => {
  test("a template that loops is ended at its limit, and the next one renders", () => {
    const endless = make(
      "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
      300,
    );
    expect(() => endless.render(hello)).toThrow(code("E_TEMPLATE_TIMEOUT"));
    expect(make("{{ messages[0].content }}").render(hello)).toBe("Hi");
  });

  test("a template cannot use up the memory", () => {
    const doubling = (start: string) =>
      `{% set ns = namespace(x=${start}) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | length }}`;
    expect(() => make(doubling("[1, 2, 3]")).render(hello)).toThrow(code("E_TEMPLATE_FAILED"));
    expect(() => make(doubling("'abc'")).render(hello)).toThrow(code("E_TEMPLATE_FAILED"));
    expect(() => make("{{ range(1000000000) | length }}").render(hello)).toThrow(code("E_TEMPLATE_FAILED"));
    expect(make("{{ messages[0].content }}").render(hello)).toBe("Hi");
  });

  test("thousands of rows render, each as itself", () => {
    const template = make("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}");
    for (let i = 0; i < 2000; i += 1) {
      const rendered = template.render([...talk, { role: "user", content: `${i}` }]);
      expect(rendered).toBe(`<user>Hi<assistant>Hello<user>${i}`);
    }
  });

  test("an exception raised by the template is its own error, and so is broken syntax", () => {
    expect(() => make("{{ raise_exception('no system message, please') }}").render(hello)).toThrow(
      /model\/chat_template\.jinja: .*no system message, please/,
    );
    expect(() => make("{{ raise_exception('x') }}").render(hello)).toThrow(code("E_TEMPLATE_REFUSED"));
    expect(() => make("{% if %}").render(hello)).toThrow(code("E_TEMPLATE_SYNTAX"));
    expect(() => make("{{ messages | nosuchfilter }}").render(hello)).toThrow(code("E_TEMPLATE_FAILED"));
  });

  test("an unknown role is an error that names the message and the nearest role", () => {
    const wrong = [...hello, { role: "asistant", content: "x" }] as unknown as Message[];
    expect(() => make("{{ messages }}").render(wrong)).toThrow(code("E_TEMPLATE_ROLE"));
    expect(() => make("{{ messages }}").render(wrong)).toThrow(/message 2 .*"asistant".*"assistant"/);
  });

  test("variables reach the template but cannot stand in for the messages", () => {
    const template = make("{{ enable_thinking }} {{ messages | length }} {{ add_generation_prompt }}");
    const variables = { enable_thinking: false, messages: [], add_generation_prompt: true };
    expect(template.render(talk, { variables })).toBe("False 2 False");
  });

  test("strftime_now tells the given time in English", () => {
    const now = () => new Date(2024, 6, 26, 15, 4, 5).getTime();
    const template = chatTemplate("{{ strftime_now('%d %b %Y, %A %I:%M:%S %p, %y%% %q') }}", {
      where: "t",
      now,
    });
    expect(template.render(hello)).toBe("26 Jul 2024, Friday 03:04:05 PM, 24% %q");
  });

  test("the template sees nothing of the process", () => {
    for (const name of ["process", "globalThis", "require", "constructor", "workerData"]) {
      expect(make(`{{ ${name} is defined }}`).render(hello), name).toBe("False");
    }
  });
});

describe("the default template", () => {
  const template = chatTemplate(defaultChatTemplate, { where: "default", tokens: { eos_token: "</s>" } });

  test("labels turns and ends an assistant's with the end token", () => {
    expect(template.render(talk)).toBe("User: Hi\nAssistant: Hello</s>\n");
  });

  test("the prompt is a prefix of the conversation, as response masks need it", () => {
    const prompt = template.render(hello, { addGenerationPrompt: true });
    expect(template.render(talk).startsWith(prompt)).toBe(true);
  });
});
