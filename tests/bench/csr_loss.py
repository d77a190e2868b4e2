#!/usr/bin/env python3
"""What does a model lose when its matrices are pruned into the CSR store? csr_loss.py IN.gguf OUT.gguf SPARSITY fp16|int4

IN: a model in F16 (kinglet quantize MODEL IN --weights f16). In every matrix of a layer the share SPARSITY of weights that
are smallest in magnitude becomes zero, and what is left the value that the CSR store keeps (include/kinglet/sparse/csr.hpp).
OUT is the same model with those weights, dense, for `kinglet eval`. Needs numpy and gguf.
"""
import pathlib
import shutil
import sys

import gguf
import numpy as np

GROUP = 32


def store_int4(row):
    """The non-zeros of a row in groups: w = d * q."""
    columns = np.flatnonzero(row)
    values = np.zeros(-(-len(columns) // GROUP) * GROUP, np.float32)
    values[:len(columns)] = row[columns]
    groups = values.reshape(-1, GROUP)
    largest = groups[np.arange(len(groups)), np.abs(groups).argmax(axis=1)]
    d = (largest / np.float32(-8)).astype(np.float16).astype(np.float32)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.where(d != 0, np.clip(np.rint(groups * (np.float32(1) / d)), -8, 7), 0)
    row[columns] = (d * q).reshape(-1)[:len(columns)]


def main():
    source, target, sparsity, values = sys.argv[1:]
    shutil.copyfile(source, target)
    pathlib.Path(target).chmod(0o644)
    kept = total = size = 0
    for tensor in gguf.GGUFReader(target, "r+").tensors:
        if not tensor.name.startswith("blk.") or tensor.data.ndim != 2:
            continue
        weights = tensor.data.astype(np.float32)
        sizes = np.abs(weights)
        pruned = int(float(sparsity) * sizes.size)
        weights[sizes <= np.partition(sizes.reshape(-1), pruned)[pruned]] = 0
        if values == "int4":
            for row in weights:
                store_int4(row)
        tensor.data[:] = weights.astype(np.float16)
        nonzeros = np.count_nonzero(weights, axis=1)
        kept += nonzeros.sum()
        total += weights.size
        scales = 0 if values == "fp16" else -(-nonzeros // GROUP)
        size += ((4 if values == "fp16" else 2.5) * nonzeros + 2 * scales).sum()
    print(f"{1 - kept / total:.4f} of {total} weights are zero; the store takes {size / total:.3f} bytes a weight")


main()
