#!/usr/bin/env python3
"""Makes fixtures/pre_tokenizer_names.txt: which names cut texts alike?

One line a name: the name; the one of make_pre_tokenizers.py whose expressions cut as llama.cpp does under that name; whether
a word that is in the vocabulary is one token whatever the merges say (whole or merged); whether texts begin with BOS where
the file does not say (bos or none). llama.cpp is asked for the tokens of random texts, with a vocabulary of all their short
parts; each list of expressions in turn cuts the texts with the `regex` package, and the `tokenizers` package merges the
words. Needs llama-cpp-python, tokenizers, regex and gguf: run by hand; the fixture is committed.
"""
import pathlib
import random
import sys
import tempfile

import gguf
import llama_cpp
import tokenizers

from make_pre_tokenizers import PARTS, PATTERNS, cut

HERE = pathlib.Path(__file__).resolve().parent
LONGEST = 6  # characters of a piece that merges lead to
# Written from the documentation of llama.cpp and of its converter: https://github.com/ggml-org/llama.cpp
NAMES = """a.x-4.0 bailingmoe bailingmoe2 bloom chatglm-bpe codeshell command-r dbrx deepseek-coder deepseek-llm
deepseek-r1-qwen deepseek-v3 default exaone exaone4 f2llmv2 falcon falcon-h1 falcon3 gigachat glm4 gpt-2 gpt-4o gpt3-finnish
granite-docling grok-2 hunyuan hunyuan-dense jais jina-de jina-es jina-v1-en jina-v2-code jina-v2-de jina-v2-es jina-v5-nano
joyai-llm kanana2 kormo lfm2 llada-moe llama-bpe llama-v3 llama3 llama4 megrez mellum midm-2.0 minerva-7b minimax-m2
modern-bert mpt olmo phi-2 pixtral poro-chat qwen2 qwen35 refact roberta-bpe seed-coder smaug-bpe smollm solar-open stablelm2
starcoder tekken trillion viking youtu""".split()


LEVEL = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def spell(word):
    return "".join(piece for piece, _ in LEVEL.pre_tokenize_str(word))


def make_vocabulary(texts):
    """Pieces and merges: every part of up to LONGEST characters grows from the left; longer words are pieces no merge makes."""
    pieces, merges = {c: None for c in sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())}, {}
    spelt = [spell(text) for text in texts]
    for length in range(2, LONGEST + 1):
        for text in spelt:
            for at in range(len(text) - length + 1):
                part = text[at:at + length]
                pieces[part] = merges[part[:-1], part[-1]] = None
    for text in texts:
        for stages in PATTERNS.values():
            pieces.update({spell(word): None for word in cut(stages, text)})
    return list(pieces), list(merges)


def main():
    rng = random.Random(5)
    plain = [p for p in PARTS if "\0" not in p]
    texts = ["".join(rng.choice(plain) for _ in range(rng.randint(2, 7))) for _ in range(300)]
    # llama.cpp tells upper from lower case by A-Z and a-z alone.
    plain = [p for p in plain if p.isascii()]
    texts += ["".join(rng.choice(plain) for _ in range(rng.randint(2, 7))) for _ in range(600)]
    pieces, merges = make_vocabulary(texts)
    expected = {}
    for whole in (False, True):
        bpe = tokenizers.Tokenizer(
            tokenizers.models.BPE({p: i for i, p in enumerate(pieces)}, merges, ignore_merges=whole))
        for like, stages in PATTERNS.items():
            expected[like, whole] = [[i for word in cut(stages, t) for i in bpe.encode(spell(word)).ids] for t in texts]

    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/vocabulary.gguf"
        writer = gguf.GGUFWriter(path, "gpt2")
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(pieces)
        writer.add_token_types([gguf.TokenType.NORMAL] * len(pieces))
        writer.add_token_merges([" ".join(m) for m in merges])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        for name in NAMES:
            try:
                model = llama_cpp.Llama(path, vocab_only=True, verbose=False, kv_overrides={"tokenizer.ggml.pre": name})
            except ValueError:
                print(f"{name}: this llama.cpp does not know it", file=sys.stderr)
                continue
            ids = [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]
            wrong = {like: sum(a != b for a, b in zip(ids, tokens)) for like, tokens in expected.items()}
            best, *others = sorted(wrong, key=wrong.get)
            bos = llama_cpp.llama_vocab_get_add_bos(model._model.vocab)
            print(f"{name}: {best}, {wrong[best]} of {len(texts)} differ; next {others[0]}, {wrong[others[0]]}",
                  file=sys.stderr)
            lines.append(f"{name} {best[0]} {'whole' if best[1] else 'merged'} {'bos' if bos else 'none'}\n")
    (HERE / "fixtures" / "pre_tokenizer_names.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
