#!/usr/bin/env python3
"""Writes tests/quant/fixtures: what the `gguf` package of PyPI makes of pseudo-random blocks.

    python3 tests/quant/make_fixtures.py

dequantize.txt has a line for each format: name, blocks, then the CRC-32 of the FP32 values of each eighth of them. The
bytes are a SplitMix64 stream, which the test makes too; as scales they give every kind of FP16 (subnormal, infinite,
NaN). A NaN counts as 0x7fc00000.

quantize.txt is the other way round: name, blocks of 32 weights, and the CRC-32 of the quantized bytes of each eighth of
them. The weights come in four kinds of blocks: even, small integers (many ties), mostly (some only) zeros of
both signs, and peaked.
"""

import pathlib
import zlib

import gguf
import numpy as np

FORMATS = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL MXFP4".split()
FOLDER = pathlib.Path(__file__).parent / "fixtures"


def splitmix64(seed: int, n: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def random_bytes(seed: int, n: int) -> np.ndarray:
    return splitmix64(seed, (n + 7) // 8).view(np.uint8)[:n].copy()


def canonical(values: np.ndarray) -> bytes:
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).copy()
    bits[np.isnan(values)] = 0x7FC00000
    return bits.tobytes()


def dequantize_lines():
    for seed, name in enumerate(FORMATS):
        kind = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = 65536 if block == 1 else 65536 // block
        data = random_bytes(seed, blocks * size).reshape(8, -1)
        with np.errstate(all="ignore"):
            values = [gguf.quants.dequantize(part, kind).ravel() for part in data]
        yield " ".join([name, str(blocks)] + [f"{zlib.crc32(canonical(v)):08x}" for v in values])


def weights(blocks: int) -> np.ndarray:
    """[blocks][32]; every operation is exact or one FP32 rounding, so that the test makes the same ones."""
    word = splitmix64(77, blocks * 33).reshape(blocks, 33)
    scale = np.ldexp(np.float32(1), ((word[:, :1] >> np.uint64(8)) % np.uint64(24)).astype(np.int32) - 20)
    unit = (word[:, 1:] >> np.uint64(40)).astype(np.float32) * np.float32(2**-24) - np.float32(0.5)
    integer = ((word[:, 1:] >> np.uint64(40)) % np.uint64(97)).astype(np.float32) - np.float32(48)
    zero = np.where(word[:, 1:] & np.uint64(1) == 0, np.float32(0), np.float32(-0.0))
    sparse = np.where(word[:, 1:] & np.uint64(6) == 0, unit, zero)
    sparse[2::64] = zero[2::64]
    kind = np.arange(blocks).reshape(-1, 1) % 4
    return (np.select([kind == 0, kind == 1, kind == 2], [unit, integer, sparse], unit * unit * unit) * scale).astype(
        np.float32
    )


def quantize_lines():
    blocks = 4096
    parts = weights(blocks).reshape(8, -1, 32)
    for name in ("F16", "BF16", "Q4_0", "Q8_0"):
        kind = gguf.GGMLQuantizationType[name]
        made = [gguf.quants.quantize(part, kind) for part in parts]
        yield " ".join([name, str(blocks)] + [f"{zlib.crc32(np.ascontiguousarray(m).tobytes()):08x}" for m in made])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "dequantize.txt").write_text("\n".join(dequantize_lines()) + "\n")
    (FOLDER / "quantize.txt").write_text("\n".join(quantize_lines()) + "\n")
