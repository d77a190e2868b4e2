#!/usr/bin/env python3
"""Makes the random models of the golden hashes: tests/golden/models/NAME.gguf, all weight formats between them.

Needs numpy and gguf. The hashes in hashes.txt belong to the committed files: a model that is made anew needs new ones.
"""
import pathlib
import sys

import gguf
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "model"))
import fixtures  # noqa: E402

T = gguf.GGMLQuantizationType
# name: family, tied, formats in turn, format of the embedding, format of the output layer, shape
MODELS = {
    "groups": ("qwen2", False, [T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.IQ4_NL, T.MXFP4], T.Q4_0, T.Q8_0,
               dict(dim=96, layers=2, ffn=160, heads=3, kv_heads=1, head_dim=32, vocab=131, theta=10000.0, eps=1e-6)),
    "super": ("llama", False, [T.Q4_K, T.Q6_K, T.Q2_K, T.Q5_K, T.Q3_K], T.Q5_K, T.Q6_K,
              dict(dim=256, layers=2, ffn=256, heads=8, kv_heads=2, head_dim=32, vocab=96, theta=500000.0, eps=1e-5)),
    "plain": ("qwen3", True, [T.F16, T.BF16, T.F32], T.F16, None,
              dict(dim=30, layers=2, ffn=34, heads=3, kv_heads=1, head_dim=24, vocab=101, theta=1000000.0, eps=1e-6)),
    "q4": ("llama", True, [T.Q4_0], T.Q8_0, None,
           dict(dim=160, layers=3, ffn=288, heads=5, kv_heads=1, head_dim=64, vocab=259, theta=10000.0, eps=1e-5)),
}

# Formats that `gguf` reads but does not write: where d (and dmin) lie in a block, and dmin / d for a mean near zero.
RANDOM = {T.IQ4_NL: (0, None, 0), T.Q2_K: (80, 82, 1.5), T.Q3_K: (108, None, 0), T.Q4_K: (0, 2, 7.5),
          T.Q5_K: (0, 2, 15.5), T.Q6_K: (208, None, 0)}


def half(x):
    return np.asarray(x, np.float16)[..., None].view(np.uint8)


def random_blocks(kind, shape, target, rng):
    """Random bits in every field but the scale, which makes the values' standard deviation `target`."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    b = rng.integers(0, 256, (shape[0], shape[1] // block, size), dtype=np.uint8)
    if kind == T.MXFP4:
        b[..., 0] = 127 + int(np.round(np.log2(target / 3))) + rng.integers(-1, 1, b.shape[:2])
        return b.reshape(shape[0], -1)
    at, at_min, ratio = RANDOM[kind]
    scale = rng.uniform(0.7, 1.3, b.shape[:2])
    b[..., at:at + 2] = half(scale / 64)
    if at_min is not None:
        b[..., at_min:at_min + 2] = half(ratio * scale / 64)
    found = gguf.quants.dequantize(b.reshape(shape[0], -1), kind).std()
    b[..., at:at + 2] = half(scale / 64 * target / found)
    if at_min is not None:
        b[..., at_min:at_min + 2] = half(ratio * scale / 64 * target / found)
    return b.reshape(shape[0], -1)


def make(index, name, folder):
    family, tied, kinds, embedding, output, shape = MODELS[name]
    rng = np.random.default_rng(2000 + index)
    path = folder / f"{name}.gguf"
    writer = fixtures.header(path, family, shape)
    turn = 0
    for tensor, size in fixtures.tensor_shapes(family, shape, tied).items():
        data = fixtures.random_tensor(tensor, size, rng)
        if len(size) == 1:
            writer.add_tensor(tensor, data)
            continue
        if tensor.startswith("token_embd"):
            kind = embedding
        elif tensor.startswith("output."):
            kind = output
        else:
            kind = kinds[turn % len(kinds)]
            turn += 1
        stored = random_blocks(kind, size, data.std(), rng) if kind in RANDOM or kind == T.MXFP4 \
            else gguf.quants.quantize(data, kind)
        writer.add_tensor(tensor, stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{name:8} {path.stat().st_size:7} bytes")


if __name__ == "__main__":
    target = HERE / "models"
    target.mkdir(exist_ok=True)
    for number, each in enumerate(MODELS):
        make(number, each, target)
