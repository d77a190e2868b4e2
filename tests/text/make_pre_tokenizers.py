#!/usr/bin/env python3
"""Makes fixtures/pre_tokenizers.txt: random texts, cut by each published pattern with the `regex` package.

One line a case: the pre-tokenizer's name, then the words in hexadecimal UTF-8. Run by hand; the fixture is committed.
"""
import ctypes
import ctypes.util
import pathlib
import random
import unicodedata

import regex

C = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
E = r"\s*[\r\n]+|\s+(?!\S)|\s+"
W = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
w = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CASED = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376-\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481"
    "\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b"
    "\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b"
    "\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb"
    "\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183-\u2184\u2c00-\u2c7b\u2c7e-\u2ce4"
    "\u2ceb-\u2cee\u2cf2-\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
    "\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"

PATTERNS = {
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "llama-bpe": [C + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + E],
    "qwen2": [C + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + E],
    "qwen35": [C + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + E],
    "bailingmoe": [
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
    ],
    "seed-coder": [C + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + E],
    "tekken": [rf"[^\r\n\p{{L}}\p{{N}}]?{W}*{w}+|[^\r\n\p{{L}}\p{{N}}]?{W}+{w}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|" + E],
    "gpt-4o": [
        rf"[^\r\n\p{{L}}\p{{N}}]?{W}*{w}+{C}?|[^\r\n\p{{L}}\p{{N}}]?{W}+{w}*{C}?|\p{{N}}{{1,3}}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|" + E
    ],
    "youtu": [
        "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
        rf"[^\r\n\p{{L}}\p{{N}}]?{W}*{w}+{C}?|[^\r\n\p{{L}}\p{{N}}]?{W}+{w}*{C}?|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|" + E,
    ],
    "deepseek-llm": [
        r"[\r\n]",
        rf"\s?[{CASED}]+",
        "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+",
        r"\s+$",
        "[一-龥ࠀ-一가-\ud7ff]+",
        r"\p{N}+",
    ],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\ud7ff]+", r"\p{N}"],
    "deepseek-v3": [
        r"\p{N}{1,3}",
        "[一-龥぀-ゟ゠-ヿ]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + E,
    ],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
}

# Characters whose category differs between Unicode versions are not asked about: both tables must agree.
utf8proc = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
utf8proc.utf8proc_category_string.restype = ctypes.c_char_p


def settled(c):
    category = unicodedata.category(chr(c))
    return category not in ("Cn", "Cs") and utf8proc.utf8proc_category_string(c).decode() == category


BY_CATEGORY = {}
for c in range(0x80, 0x20000):
    if settled(c):
        BY_CATEGORY.setdefault(unicodedata.category(chr(c)), []).append(chr(c))
CATEGORIES = sorted(BY_CATEGORY)
PARTS = (
    ["a", "b", "Z", "Q", "the", "Word", "HTTPServer", "x1", "'s", "'S", "'t", "'RE", "'ve", "'LL", "'ſ", "'x", "'", "’s"]
    + [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\u00a0", "\u3000", "\u0085", "\u2028", "\v", "\u200b", "\u200d"]
    + ["1", "23", "456", "78901", "²", "Ⅷ", "٣", "３", "½"]
    + ["!", "...", "$", "+=", "<|", "/", "//\n", "_", "`", "(", "|", "。", "，", "…", "“", "—", "・", "~", "€", "！", "\x00"]
    + ["é", "e\u0301", "\u0301", "\u0300\u0301", "Dž", "ʰ", "ª", "ß", "ÄÖ", "жЖ", "中文", "かな", "カナ", "한글", "ㄅ", "ไทย", "हिन्दी", "\U0001f600", "👩‍👧"]
)


def cut(stages, text):
    words = [text]
    for stage in stages:
        pattern = regex.compile(stage)
        finer = []
        for word in words:
            at = 0
            for match in pattern.finditer(word):
                if match.start() > at:
                    finer.append(word[at : match.start()])
                finer.append(match.group())
                at = match.end()
            if at < len(word):
                finer.append(word[at:])
        words = [x for x in finer if x]
    assert "".join(words) == text
    return words


def main():
    rng = random.Random(20)
    path = pathlib.Path(__file__).parent / "fixtures" / "pre_tokenizers.txt"
    with open(path, "w", encoding="ascii") as out:
        for name, stages in PATTERNS.items():
            for case in range(100):
                parts = []
                for _ in range(rng.randint(1, 14)):
                    if rng.random() < 0.25:
                        parts.append(rng.choice(BY_CATEGORY[rng.choice(CATEGORIES)]))
                    else:
                        parts.append(rng.choice(PARTS))
                words = cut(stages, "".join(parts))
                out.write(" ".join([name] + [x.encode().hex() for x in words]) + "\n")


if __name__ == "__main__":
    main()
