#!/usr/bin/env python3
"""Makes tests/model/fixtures: small random models of every family with the logits of `transformers`.

NAME.gguf, NAME.tokens (numbers as text) and NAME.logits.f32: raw little-endian FP32 [16][vocab], the logits of the last 16
positions, computed in FP64 with eager attention. Needs torch, transformers, gguf; run it in any folder.
"""
import pathlib

import gguf
import numpy as np
import torch
import transformers

import fixtures

HERE = pathlib.Path(__file__).resolve().parent / "fixtures"
KEPT = 16  # positions whose logits are stored

# name: family, class of transformers, stored type, tied, tokens, shape
MODELS = {
    "llama-mha": ("llama", "Llama", "F32", False, 48,
                  dict(dim=32, layers=2, ffn=37, heads=4, kv_heads=4, head_dim=8, vocab=67, theta=10000.0, eps=1e-5)),
    "llama-gqa-tied": ("llama", "Llama", "BF16", True, 48,
                       dict(dim=33, layers=2, ffn=40, heads=3, kv_heads=1, head_dim=24, vocab=131, theta=10000.0, eps=1e-6)),
    "llama3-factors": ("llama", "Llama", "F16", True, 64,
                       dict(dim=28, layers=2, ffn=33, heads=7, kv_heads=1, head_dim=16, vocab=96, theta=500000.0, eps=1e-5,
                            llama3=dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                        original_max_position_embeddings=256))),
    "llama-linear": ("llama", "Llama", "F16", True, 48,
                     dict(dim=32, layers=2, ffn=36, heads=2, kv_heads=1, head_dim=40, vocab=64, theta=10000.0, eps=1e-5,
                          linear=4.0)),
    "mistral": ("llama", "Mistral", "F16", False, 300,
                dict(dim=40, layers=2, ffn=40, heads=4, kv_heads=2, head_dim=10, vocab=70, theta=1000000.0, eps=1e-5)),
    "qwen2-tied": ("qwen2", "Qwen2", "F16", True, 48,
                   dict(dim=42, layers=2, ffn=44, heads=7, kv_heads=1, head_dim=6, vocab=131, theta=1000000.0, eps=1e-6)),
    "qwen2": ("qwen2", "Qwen2", "F16", False, 48,
              dict(dim=32, layers=2, ffn=33, heads=2, kv_heads=2, head_dim=16, vocab=64, theta=10000.0, eps=1e-6)),
    "qwen3-tied": ("qwen3", "Qwen3", "F16", True, 48,
                   dict(dim=32, layers=2, ffn=40, heads=4, kv_heads=2, head_dim=16, vocab=101, theta=1000000.0, eps=1e-6)),
    "qwen3": ("qwen3", "Qwen3", "F16", False, 48,
              dict(dim=30, layers=2, ffn=34, heads=3, kv_heads=1, head_dim=24, vocab=64, theta=10000.0, eps=1e-6)),
}

NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
         "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
         "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def their_name(name):
    stem, kind = name.rsplit(".", 1)
    if stem.startswith("blk."):
        _, layer, stem = stem.split(".")
        return f"model.layers.{layer}.{NAMES[stem]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def interleave(w, heads):
    """GGUF's llama rotates neighbours: rows (i, i + d/2) of a head move to (2i, 2i + 1)."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(w.shape)


def llama3_factors(shape):
    """The divisors of the frequencies that rope_freqs.weight holds for Llama 3.1 and later."""
    p, d = shape["llama3"], shape["head_dim"]
    wave = 2 * np.pi * shape["theta"] ** (np.arange(0, d, 2) / d)
    old = p["original_max_position_embeddings"]
    smooth = (old / wave - p["low_freq_factor"]) / (p["high_freq_factor"] - p["low_freq_factor"])
    middle = 1 / ((1 - smooth) / p["factor"] + smooth)
    long, short = wave > old / p["low_freq_factor"], wave < old / p["high_freq_factor"]
    return np.where(short, 1.0, np.where(long, p["factor"], middle)).astype(np.float32)


def reference(kind, tied, shape, weights, tokens):
    rope = {"rope_type": "default", "rope_theta": shape["theta"]}
    if "linear" in shape:
        rope |= {"rope_type": "linear", "factor": shape["linear"]}
    if "llama3" in shape:
        rope |= {"rope_type": "llama3"} | shape["llama3"]
    more = {"sliding_window": None} if kind == "Mistral" else {}
    config = getattr(transformers, kind + "Config")(
        vocab_size=shape["vocab"], hidden_size=shape["dim"], intermediate_size=shape["ffn"],
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"], num_key_value_heads=shape["kv_heads"],
        head_dim=shape["head_dim"], rms_norm_eps=shape["eps"], rope_parameters=rope, tie_word_embeddings=tied,
        max_position_embeddings=1024, attn_implementation="eager", **more)
    model = getattr(transformers, kind + "ForCausalLM")(config).eval()
    state = {their_name(name): torch.from_numpy(w) for name, w in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= ({"lm_head.weight"} if tied else set()), (missing, unexpected)
    model.tie_weights()
    with torch.no_grad():
        return model.double()(torch.tensor([tokens])).logits[0].numpy()


def make(index, name):
    family, kind, stored, tied, count, shape = MODELS[name]
    rng = np.random.default_rng(1000 + index)
    stored = gguf.GGMLQuantizationType[stored]
    writer = fixtures.header(HERE / f"{name}.gguf", family, shape)
    if "llama3" in shape:
        writer.add_tensor("rope_freqs.weight", llama3_factors(shape))
    weights = {}
    for tensor, size in fixtures.tensor_shapes(family, shape, tied).items():
        data = fixtures.random_tensor(tensor, size, rng)
        kept = gguf.GGMLQuantizationType.F32 if len(size) == 1 else stored
        weights[tensor] = gguf.quants.dequantize(gguf.quants.quantize(data, kept), kept)
        out = weights[tensor]
        if family == "llama" and ("attn_q." in tensor or "attn_k." in tensor):
            out = interleave(out, shape["heads" if "attn_q." in tensor else "kv_heads"])
        writer.add_tensor(tensor, gguf.quants.quantize(out, kept), raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tokens = rng.integers(0, shape["vocab"], count).tolist()
    (HERE / f"{name}.tokens").write_text(" ".join(map(str, tokens)) + "\n")
    logits = reference(kind, tied, shape, weights, tokens)
    logits[-KEPT:].astype("<f4").tofile(HERE / f"{name}.logits.f32")
    print(f"{name:16} {(HERE / f'{name}.gguf').stat().st_size:7} bytes, logits std {logits.std():.2f}")


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for number, each in enumerate(MODELS):
        make(number, each)
