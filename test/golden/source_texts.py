"""Texts that tokenizers are compared on: hard ones by hand, and made-up ones of a seed."""

import random

TEXTS = [
    "",
    " ",
    "Hello, world!",
    "  two spaces before, two after  ",
    "\ttabs\tand\n\n\nthree newlines\r\nand a carriage return\r",
    "\n",
    " \n \n",
    "trailing newline\n",
    "It's what they'll say: DON'T you've I'm we'd 'S 'Re",
    "0 7 42 365 1234 12345 1234567890123456789012345678901234567890",
    "3.14159, -2e10, 1,000,000 and 50%",
    "½ ² Ⅷ ٣٤٥ 五六 ０１２",
    "😀 👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇫🇷🇩🇪",
    "中文字符，没有空格。日本語のテキスト。한국어 문장입니다.",
    "Ünïcödé naïve café é (composed) é (decomposed)",
    "שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดี",
    "zero\u200bwidth\u200djoiner\ufeffmark\u00a0hard space\u3000wide space\u2028line\u0085next",
    "control \x00\x01\x1f\x7f bytes",
    "private \ue000 \U0010ffff and \ufffd",
    "def f(x):\n    if x == 0:\n\t\treturn [i**2 for i in range(10)]  # squares\n    return {'a': x!r}\n",
    "for (int i = 0; i < n; ++i) { a[i] += b->c(i, \"s\\n\"); } // done\n\n\n    }",
    "SELECT * FROM t WHERE a <> 'b' AND c >= 10;",
    "https://example.org/path?query=1&other=%20#fragment user@example.org",
    "$E = mc^2$ and \\frac{a}{b} \\le \\sum_{i=1}^{n} x_i",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "a<|endoftext|>b <|im_end|> c<|im_end|><|im_end|>",
    "<|im_start|> <|im_end <| im_start |> <|unknown|>",
    "<repo_name>a/b<file_sep>x.py",
    "UPPER lower MiXeD camelCase snake_case kebab-case SCREAMING_CASE",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "................................................................................",
    " " * 70 + "x" + " " * 17,
    "What is 12 + 3?\n\n1. Twelve and three are 15.\n2. So the answer is 15.\n\n#### 15",
    "Ann has 1,250 apples; she gives 3/5 of them away.",
]

# Characters at which pre-tokenizers differ, for made-up texts.
POOL = list("aZé ß中日😀👍🏽١²Ⅷ0123456789  \t\n\r\n.,!?'\"()[]{}<>|/\\_-+=*&^%$#@~`") + [
    "'s",
    "'LL",
    "\u00a0",
    "\u3000",
    "e\u0301",
    "\u0bcd",
    "\u200d",
    "\u2028",
    "\x1f",
    "<|im_end|>",
]


def made_up_texts(count):
    generator = random.Random(7)
    return ["".join(generator.choices(POOL, k=generator.randint(1, 24))) for _ in range(count)]
