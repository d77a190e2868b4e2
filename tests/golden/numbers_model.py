#!/usr/bin/env python3
"""What are the logits, to the last bit, if docs/numbers.md is taken at its word?

A second implementation of that page in NumPy, written from the page alone. It is slow (seconds for a model of 100,000
weights, minutes for 135 million) and knows no kernel: rows and outputs are vectorised, every chain is walked in order.

    numbers_model.py MODEL.gguf --tokens 1,2,3 | --lcg 512  [--activations fp32|int8|fp8] [--kv fp16|fp32]
                     [--scores fp16|fp32] [--window W --globals G] [--gate S] [--out LOGITS.f32]

prints the SHA-256 of the raw little-endian FP32 logits. Needs numpy, gguf, mpmath.
"""
import argparse
import hashlib
import sys
from dataclasses import dataclass

import gguf
import mpmath
import numpy as np

F, D, I64 = np.float32, np.float64, np.int64
np.seterr(over="ignore", under="ignore", invalid="ignore", divide="ignore")


# ---- single operations -----------------------------------------------------------------------------------------------

def fma(a, b, c):
    """rn(a * b + c) for FP32 arrays (also given as FP64 arrays that hold FP32 values); the result is FP32.

    The product is exact in FP64. The sum is rounded there first, which can only mislead the second rounding where the
    FP64 sum lies half way between two FP32 numbers, or below the normal ones: those are rounded to odd instead.
    """
    p = np.multiply(a, b, dtype=D)
    s = p + c
    bits = s.view(I64)
    hard = (bits & 0x1FFFFFFF) == 0x10000000
    hard |= np.abs(s) < 2.0**-126
    result = s.astype(F)
    if hard.any():
        index = np.nonzero(hard)
        sh, ph = s[index], p[index]
        ch = np.broadcast_to(c, s.shape)[index].astype(D)
        part = sh - ph  # the error of an FP64 sum, exactly (Knuth)
        error = (ph - (sh - part)) + (ch - part)
        odd = sh.view(I64).copy()
        odd += np.where((error == 0) | (odd & 1 == 1), 0, np.where((error > 0) == (sh > 0), 1, -1))
        result[index] = odd.view(D).astype(F)
    return result


def exp(x):
    x = np.asarray(x, F)
    magic = F(12582912)
    safe = np.where((x >= F(-87.33654785)) & (x <= F(88.37626)), x, F(0))
    n = fma(safe, F(1.44269504088896341), magic) - magic
    r = fma(n, F(-0.693359375), safe)
    r = fma(n, F(2.12194440e-4), r)
    p = np.full_like(r, F(1.9875691500e-4))
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = fma(p, r, F(c))
    y = (fma(p, r * r, r) + F(1)) * np.ldexp(F(1), n.astype(np.int32)).astype(F)
    y = np.where(x < F(-87.33654785), F(0), np.where(x > F(88.37626), F(np.inf), y))
    return np.where(np.isnan(x), F(np.nan), y).astype(F)


def silu(x):
    return x / (F(1) + exp(-x))


def lanes(v, squares=False):
    """The sum over the last axis, in 128 lanes and a halving tree."""
    lane = np.zeros(v.shape[:-1] + (128,), F)
    for start in range(0, v.shape[-1], 128):
        part = v[..., start:start + 128]
        n = part.shape[-1]
        lane[..., :n] = fma(part, part, lane[..., :n]) if squares else lane[..., :n] + part
    w = 64
    while w:
        lane[..., :w] = lane[..., :w] + lane[..., w:2 * w]
        w //= 2
    return lane[..., 0]


def norm(x, w, eps):
    s = lanes(x, squares=True)
    r = F(1) / np.sqrt(s / F(x.shape[-1]) + F(eps))
    return (x * r[..., None]) * w


# ---- rotary positions ------------------------------------------------------------------------------------------------

def rope_steps(d, theta, scale=1.0, factors=None):
    """[d/2] turns per position, as 64-bit fractions."""
    mpmath.mp.dps = 120
    steps = []
    for i in range(d // 2):
        f = mpmath.mpf(1.0 if factors is None else float(F(factors[i])))
        turns = mpmath.power(mpmath.mpf(float(F(theta))), mpmath.mpf(-2 * i) / d)
        turns /= 2 * mpmath.pi * mpmath.mpf(float(F(scale))) * f
        steps.append(int(mpmath.nint(turns * mpmath.mpf(2)**64)) % 2**64)
    return np.array(steps, np.uint64)


def sincos(t):
    t = np.asarray(t, np.uint64)
    q = (t + np.uint64(2**61)) >> np.uint64(62)
    u = (t - (q << np.uint64(62))).view(I64)
    a = ((u >> 32).astype(F) * F(2.0**-32)) * F(6.28318530717958648)
    z = a * a
    s = fma(z, F(-1.9515295891e-4), F(8.3321608736e-3))
    s = fma(a * z, fma(z, s, F(-1.6666654611e-1)), a)
    c = fma(z, F(2.443315711809948e-5), F(-1.388731625493765e-3))
    c = fma(z * z, fma(z, c, F(4.166664568298827e-2)), fma(z, F(-0.5), F(1)))
    sin = np.select([q == 0, q == 1, q == 2], [s, c, -s], -c)
    cos = np.select([q == 0, q == 1, q == 2], [c, -s, -c], s)
    return sin, cos


def rotate(x, sin, cos, interleaved):
    """x [rows, heads, head_dim]; sin, cos [rows, d/2]."""
    half = sin.shape[1]
    first = np.arange(half) * 2 if interleaved else np.arange(half)
    second = first + (1 if interleaved else half)
    x0, x1 = x[..., first], x[..., second]
    sin, cos = sin[:, None, :], cos[:, None, :]
    y = x.copy()
    y[..., first] = fma(x0, cos, -(x1 * sin))
    y[..., second] = fma(x0, sin, x1 * cos)
    return y


# ---- activations and products ----------------------------------------------------------------------------------------

def e4m3(x):
    a = np.abs(x.astype(D))
    quantum = np.ldexp(1.0, np.maximum(np.frexp(a)[1] - 1, -6) - 3)
    return np.copysign(np.minimum(np.rint(a / quantum) * quantum, 448.0), x)


def int8_activations(x):
    """x [rows, K] -> integers [rows, K] (as FP64), scales [rows, K/32]."""
    v = x.reshape(x.shape[0], -1, 32)
    amax = np.abs(v).max(axis=2)
    zero = amax < F(2.0**-100)
    safe = np.where(zero, F(1), amax)
    q = np.clip(np.rint(v * (F(127) / safe)[..., None]), -127, 127)
    return np.where(zero[..., None], 0, q).reshape(x.shape).astype(D), np.where(zero, F(0), safe / F(127))


def fp8_activations(x):
    """x [rows, K] -> integers (code * 2^9) [rows, K] (as FP64), scales [rows, ceil(K/128)]."""
    a, s = np.zeros(x.shape, D), []
    for start in range(0, x.shape[1], 128):
        v = x[:, start:start + 128]
        amax = np.abs(v).max(axis=1)
        zero = amax < F(2.0**-100)
        safe = np.where(zero, F(1), amax)
        a[:, start:start + 128] = np.where(zero[:, None], 0, e4m3(v * (F(448) / safe)[:, None]) * 512)
        s.append(np.where(zero, F(0), safe / F(448)))
    return a, np.stack(s, axis=1)


@dataclass
class Groups:
    """Weights as integers: w[n, g, i] = d[n, g] * sq[n, g, i] + dmin[n, g] * smin[n, g, i]; i in [0, 32)."""
    d: np.ndarray
    sq: np.ndarray
    dmin: np.ndarray = None
    smin: np.ndarray = None


def half(b):
    return np.ascontiguousarray(b).view(np.float16).astype(F)[..., 0]


def nibbles(b):
    return np.concatenate([b & 15, b >> 4], axis=-1).astype(np.int32)


def unpack_small(kind, b):
    """Blocks of 32 weights: b [rows, groups, bytes]."""
    if kind == "Q8_0":
        return Groups(half(b[..., :2]), b[..., 2:].view(np.int8).astype(np.int32))
    if kind == "Q4_0":
        return Groups(half(b[..., :2]), nibbles(b[..., 2:]) - 8)
    if kind in ("Q4_1", "Q5_1", "Q5_0"):
        at = 2 if kind == "Q5_0" else 4
        q = nibbles(b[..., -16:])
        if kind != "Q4_1":
            q |= np.unpackbits(b[..., at:at + 4], axis=-1, bitorder="little").astype(np.int32) << 4
        if kind == "Q5_0":
            return Groups(half(b[..., :2]), q - 16)
        return Groups(half(b[..., :2]), q, half(b[..., 2:4]), np.ones_like(q))
    if kind == "IQ4_NL":
        table = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])
        return Groups(half(b[..., :2]), table[nibbles(b[..., 2:])])
    if kind == "MXFP4":
        table = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12])
        scale = np.ldexp(1.0, b[..., 0].astype(np.int32) - 128).astype(F)
        return Groups(scale, table[nibbles(b[..., 1:])])
    return None


def two_bits(b):
    """[..., 64] bytes -> [..., 256]: 128 weights from 32 bytes, two bits at a time."""
    b = b.reshape(b.shape[:-1] + (2, 1, 32)) >> np.array([0, 2, 4, 6], np.uint8)[:, None]
    return (b & 3).astype(np.int32).reshape(b.shape[:-3] + (256,))


def planes(b, n):
    """[..., 32] bytes whose bit j is a flag of the weight 32 * j + byte."""
    return np.stack([(b >> j) & 1 for j in range(n)], axis=-2).astype(np.int32).reshape(b.shape[:-1] + (32 * n,))


def wide(scales, each):
    return np.repeat(scales.astype(np.int32), each, axis=-1)


def unpack_super(kind, b):
    """Blocks of 256 weights: b [rows, blocks, bytes] -> d, sq, dmin, smin with sq [rows, blocks, 256]."""
    if kind == "Q2_K":
        sc, q = b[..., :16], two_bits(b[..., 16:80])
        return half(b[..., 80:82]), wide(sc & 15, 16) * q, -half(b[..., 82:84]), wide(sc >> 4, 16)
    if kind == "Q3_K":
        q = two_bits(b[..., 32:96]) - 4 * (1 - planes(b[..., :32], 8))
        s = b[..., 96:108]
        low = np.concatenate([s[..., :8] & 15, s[..., :8] >> 4], axis=-1)
        high = np.concatenate([(s[..., 8:] >> k) & 3 for k in (0, 2, 4, 6)], axis=-1)
        return half(b[..., 108:110]), wide((low | high << 4).astype(np.int32) - 32, 16) * q, None, None
    if kind in ("Q4_K", "Q5_K"):
        s = b[..., 4:16]
        scale = np.concatenate([s[..., :4] & 63, (s[..., 8:] & 15) | ((s[..., :4] >> 6) << 4)], axis=-1)
        low = np.concatenate([s[..., 4:8] & 63, (s[..., 8:] >> 4) | ((s[..., 4:8] >> 6) << 4)], axis=-1)
        v = b[..., -128:].reshape(b.shape[:-1] + (4, 32))
        q = nibbles(v).reshape(b.shape[:-1] + (256,))
        if kind == "Q5_K":
            q = q | planes(b[..., 16:48], 8) << 4
        return half(b[..., :2]), wide(scale, 32) * q, -half(b[..., 2:4]), wide(low, 32)
    if kind == "Q6_K":
        ql = b[..., :128].reshape(b.shape[:-1] + (2, 1, 64)) >> np.array([0, 4], np.uint8)[:, None]
        q = (ql & 15).astype(np.int32).reshape(b.shape[:-1] + (256,)) | two_bits(b[..., 128:192]) << 4
        return half(b[..., 208:210]), wide(b[..., 192:208].view(np.int8), 16) * (q - 32), None, None
    raise ValueError(f"no definition for weights in {kind}")


def unpack(kind, data):
    """data: [rows, bytes of a row] -> Groups."""
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    b = np.ascontiguousarray(data).reshape(data.shape[0], -1, size)
    if block == 32:
        return unpack_small(kind, b)
    d, sq, dmin, smin = unpack_super(kind, b)
    split = lambda v: None if v is None else v.reshape(b.shape[0], -1, 32)
    each = lambda v: None if v is None else np.repeat(v, 8, axis=1)
    return Groups(each(d), split(sq), each(dmin), split(smin))


class Weight:
    """A matrix [N, K] of the file."""

    def __init__(self, tensor):
        self.kind = tensor.tensor_type.name
        self.shape = (int(tensor.shape[1]), int(tensor.shape[0]))
        self.data = np.array(tensor.data)
        self.plain = self.kind in ("F32", "F16", "BF16")
        self.cache = {}

    def rows(self, index=slice(None)):
        data = self.data[index]
        return data if self.kind == "F32" else gguf.quants.dequantize(data, gguf.GGMLQuantizationType[self.kind])

    def columns(self):
        """[K, N] FP64."""
        if "columns" not in self.cache:
            self.cache["columns"] = np.ascontiguousarray(self.rows().T.astype(D))
        return self.cache["columns"]

    def groups(self):
        if "groups" not in self.cache:
            self.cache["groups"] = unpack(self.kind, self.data)
        return self.cache["groups"]


def product(weight, x, activations):
    """x [rows, K] -> [rows, N]."""
    if weight.plain:
        activations = "fp32"
    rows, (outputs, _) = x.shape[0], weight.shape
    wide_enough = max(32, 1 << 16 >> max(rows - 1, 1).bit_length())
    run = {"fp32": chain_fp32, "int8": chain_int8, "fp8": chain_fp8}[activations]
    make = {"fp32": lambda v: v.astype(D), "int8": int8_activations, "fp8": fp8_activations}[activations]
    ready = make(x)
    parts = [run(weight, ready, slice(n, min(n + wide_enough, outputs))) for n in range(0, outputs, wide_enough)]
    return np.concatenate(parts, axis=1)


def chain_fp32(weight, x, out):
    w = weight.columns()[:, out]
    acc = np.zeros((x.shape[0], w.shape[1]), F)
    for k in range(w.shape[0]):
        acc = fma(x[:, k, None], w[k], acc)
    return acc


def integer_sums(values, a, g):
    """Exact: every partial sum is an integer below 2^53. -> rn([rows, outputs])"""
    return (a[:, 32 * g:32 * g + 32] @ values[:, g].astype(D).T).astype(F)


def chain_int8(weight, ready, out):
    (a, da), w = ready, weight.groups()
    acc = np.zeros((a.shape[0], len(w.d[out])), F)
    for g in range(w.d.shape[1]):
        acc = fma(integer_sums(w.sq[out], a, g), w.d[out, g] * da[:, g, None], acc)
        if w.dmin is not None:
            acc = fma(integer_sums(w.smin[out], a, g), w.dmin[out, g] * da[:, g, None], acc)
    return acc


def chain_fp8(weight, ready, out):
    (a, s), w = ready, weight.groups()
    acc = np.zeros((a.shape[0], len(w.d[out])), F)
    c = np.zeros_like(acc)
    for block in range(s.shape[1]):
        b = np.zeros_like(acc)
        for g in range(4 * block, min(4 * block + 4, w.d.shape[1])):
            b = fma(integer_sums(w.sq[out], a, g), w.d[out, g], b)
            if w.dmin is not None:
                b = fma(integer_sums(w.smin[out], a, g), w.dmin[out, g], b)
        y = b * (s[:, block, None] * F(2.0**-9)) - c
        u = acc + y
        c = (u - acc) - y
        acc = u
    return acc


# ---- attention -------------------------------------------------------------------------------------------------------

def attend(q, k, v, setting):
    """One KV head: q [queries per head, rows, head_dim], k [rows, head_dim], v [rows, value_dim]."""
    heads, rows, dim = q.shape
    scale = F(1) / np.sqrt(F(dim))
    i, m, l, o = np.arange(rows)[:, None], None, None, None
    for start in range(0, rows, 256):
        j = np.arange(start, min(start + 256, rows))
        seen = j <= i
        if setting.window:
            seen &= (j > i - setting.window) | (j < setting.globals)
        score = np.zeros((heads, rows, len(j)), F)
        for d in range(dim):
            score = fma(q[:, :, d, None].astype(D), k[j, d], score)
        score = np.where(seen, score * scale, F(-np.inf))
        m2 = score.max(axis=2)
        e = score - m2[..., None]
        if setting.scores == "fp16":
            e = e.astype(np.float16).astype(F)
        p = np.where(seen, exp(e), F(0))
        l2 = lanes(p)
        o2 = np.zeros((heads, rows, v.shape[1]), F)
        for n in range(len(j)):
            o2 = np.where(seen[:, n, None], fma(p[:, :, n, None], v[j[n]], o2), o2)
        if m is None:
            m, l, o, any_seen = m2, l2, o2, seen.any(axis=1)
            continue
        top = np.maximum(m, m2)
        a, b = exp(m - top), exp(m2 - top)
        merged_l, merged_o = fma(l, a, l2 * b), fma(o, a[..., None], o2 * b[..., None])
        new = seen.any(axis=1)
        both, only = new & any_seen, new & ~any_seen
        m = np.where(both, top, np.where(only, m2, m))
        l = np.where(both, merged_l, np.where(only, l2, l))
        o = np.where(both[:, None], merged_o, np.where(only[:, None], o2, o))
        any_seen = any_seen | new
    return o / l[..., None]


# ---- the model -------------------------------------------------------------------------------------------------------

@dataclass
class Setting:
    activations: str = "fp32"
    kv: str = "fp16"
    scores: str = "fp16"
    window: int = 0
    globals: int = 0
    gate: float = 0.0


class Model:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.tensors = {t.name: t for t in reader.tensors}
        self.weights = {}
        get = lambda name, default=None: (lambda f: default if f is None else f.contents())(reader.get_field(name))
        self.family = family = get("general.architecture")
        self.layers = get(f"{family}.block_count")
        self.dim = get(f"{family}.embedding_length")
        self.heads = get(f"{family}.attention.head_count")
        self.kv_heads = get(f"{family}.attention.head_count_kv", self.heads)
        self.head_dim = get(f"{family}.attention.key_length", self.dim // self.heads)
        self.value_dim = get(f"{family}.attention.value_length", self.head_dim)
        self.eps = get(f"{family}.attention.layer_norm_rms_epsilon")
        scale = get(f"{family}.rope.scaling.factor", 1.0)
        linear = get(f"{family}.rope.scaling.type", "none") == "linear"
        self.steps = rope_steps(get(f"{family}.rope.dimension_count", self.head_dim),
                                get(f"{family}.rope.freq_base", 10000.0), scale if linear else 1.0,
                                self.vector("rope_freqs.weight"))
        self.vocab = self.matrix("token_embd.weight").shape[0]

    def vector(self, name):
        return np.array(self.tensors[name].data, F) if name in self.tensors else None

    def matrix(self, name):
        if name not in self.weights:
            self.weights[name] = Weight(self.tensors[name])
        return self.weights[name]

    def products(self, names, x, setting):
        """The matrices that read the same row x."""
        matrices = [self.matrix(n + ".weight") for n in names]
        if setting.gate > 0:
            x = gated(matrices, x, setting.gate)
        result = []
        for name, matrix in zip(names, matrices):
            y = product(matrix, x, setting.activations)
            bias = self.vector(name + ".bias")
            result.append(y if bias is None else y + bias)
        return result

    def logits(self, tokens, setting):
        """-> [positions, vocab] FP32"""
        x = np.array(self.matrix("token_embd.weight").rows(np.asarray(tokens)), F)
        rows = len(tokens)
        phase = np.arange(rows, dtype=np.uint64)[:, None] * self.steps
        sin, cos = sincos(phase)
        store = (lambda v: v.astype(np.float16).astype(F)) if setting.kv == "fp16" else (lambda v: v)
        for layer in range(self.layers):
            at = f"blk.{layer}."
            n = norm(x, self.vector(at + "attn_norm.weight"), self.eps)
            q, k, v = self.products([at + "attn_q", at + "attn_k", at + "attn_v"], n, setting)
            q = q.reshape(rows, self.heads, self.head_dim)
            k = k.reshape(rows, self.kv_heads, self.head_dim)
            v = v.reshape(rows, self.kv_heads, self.value_dim)
            if self.family == "qwen3":
                q = norm(q, self.vector(at + "attn_q_norm.weight"), self.eps)
                k = norm(k, self.vector(at + "attn_k_norm.weight"), self.eps)
            q = rotate(q, sin, cos, self.family == "llama")
            k = store(rotate(k, sin, cos, self.family == "llama"))
            v = store(v)
            each = self.heads // self.kv_heads
            o = np.concatenate([attend(q[:, h * each:(h + 1) * each].transpose(1, 0, 2), k[:, h], v[:, h], setting)
                                for h in range(self.kv_heads)])
            x = x + self.products([at + "attn_output"], o.transpose(1, 0, 2).reshape(rows, -1), setting)[0]
            n = norm(x, self.vector(at + "ffn_norm.weight"), self.eps)
            g, u = self.products([at + "ffn_gate", at + "ffn_up"], n, setting)
            x = x + self.products([at + "ffn_down"], silu(g) * u, setting)[0]
        n = norm(x, self.vector("output_norm.weight"), self.eps)
        return self.products(["output" if "output.weight" in self.tensors else "token_embd"], n, setting)[0]


def gated(matrices, x, share):
    total, count = np.zeros(x.shape[1], F), 0
    for matrix in matrices:
        for row in matrix.rows():
            total = total + np.abs(row)
        count += matrix.shape[0]
    key = np.abs(x) * (total / F(count))
    drop = np.argsort(key, axis=1, kind="stable")[:, :int(np.floor(F(share) * F(x.shape[1])))]
    x = x.copy()
    np.put_along_axis(x, drop, F(0), axis=1)
    return x


def lcg_tokens(n, vocab):
    """The tokens of the golden tests: x = 1664525 x + 1013904223 mod 2^32 from x = 1; token = (x >> 16) mod vocab."""
    x, tokens = 1, []
    for _ in range(n):
        x = (1664525 * x + 1013904223) % 2**32
        tokens.append((x >> 16) % vocab)
    return tokens


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("model")
    parse.add_argument("--tokens", help="1,2,3 or a file of numbers")
    parse.add_argument("--lcg", type=int, default=0, help="this many tokens of the golden tests' generator")
    parse.add_argument("--activations", choices=["fp32", "int8", "fp8"], default="fp32")
    parse.add_argument("--kv", choices=["fp16", "fp32"], default="fp16")
    parse.add_argument("--scores", choices=["fp16", "fp32"], default="fp16")
    parse.add_argument("--window", type=int, default=0)
    parse.add_argument("--globals", type=int, default=0)
    parse.add_argument("--gate", type=float, default=0.0)
    parse.add_argument("--out")
    args = parse.parse_args()
    model = Model(args.model)
    if args.tokens:
        text = args.tokens if args.tokens[0].isdigit() else open(args.tokens).read()
        tokens = [int(t) for t in text.replace(",", " ").split()]
    else:
        tokens = lcg_tokens(args.lcg or 512, model.vocab)
    setting = Setting(args.activations, args.kv, args.scores, args.window, args.globals, args.gate)
    logits = model.logits(tokens, setting).astype("<f4")
    if args.out:
        logits.tofile(args.out)
    print(hashlib.sha256(logits.tobytes()).hexdigest())
    return 0


if __name__ == "__main__":
    sys.exit(main())
