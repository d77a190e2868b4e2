#!/usr/bin/env python3
"""What are the INT8 logits of models with Q8_0 weights, by the NumPy model of docs/numbers.md?

Makes tests/model/fixtures/NAME-q8_0.logits.f32: raw little-endian FP32 [16][vocab], the logits of the last 16 of 96
positions. Every matrix of the model becomes Q8_0 as the `gguf` package makes it; KV and scores are FP16. The models are
parity/llama.gguf and parity/qwen2.gguf with parity/tokens.txt, in the folder given (default: ../shared beside the
source), and two of tests/golden/models with tokens made here. Needs numpy, gguf, mpmath.
"""
import pathlib
import sys

import gguf
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
import numbers_model  # noqa: E402

KEPT = 16
Q8_0 = gguf.GGMLQuantizationType.Q8_0


class Stored:
    """A tensor as GGUFReader shows it."""

    def __init__(self, tensor):
        self.tensor_type, self.shape = Q8_0, tensor.shape
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        self.data = gguf.quants.quantize(np.array(values, np.float32), Q8_0)


def make(name, path, tokens):
    model = numbers_model.Model(path)
    model.weights.clear()
    for key, tensor in model.tensors.items():
        if len(tensor.shape) == 2:
            model.tensors[key] = Stored(tensor)
    tokens = tokens or [(7 * n * n + 3) % model.vocab for n in range(96)]
    rows = {kind: model.logits(tokens, numbers_model.Setting(kind)) for kind in ("int8", "fp32")}
    rows["int8"][-KEPT:].astype("<f4").tofile(HERE / "fixtures" / f"{name}-q8_0.logits.f32")
    off = rows["int8"].astype(np.float64) - rows["fp32"]
    print(f"{name:14} INT8 against FP32 activations: {np.sqrt((off**2).mean()) / rows['fp32'].std(dtype=np.float64):.4f}")


parity = (pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[2] / "shared") / "parity"
for each in ("llama", "qwen2"):
    make(f"parity-{each}", parity / f"{each}.gguf", [int(t) for t in (parity / "tokens.txt").read_text().split()])
for each in ("groups", "q4"):
    make(f"golden-{each}", HERE.parent / "golden" / "models" / f"{each}.gguf", None)
