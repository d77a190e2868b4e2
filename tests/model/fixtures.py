"""How are the small random models of the tests made into GGUF? Shared by make_fixtures.py and golden/make_golden.py."""
import gguf
import numpy as np


def tokenizer(writer, vocab):
    """The least a loader asks for: single bytes in GPT-2's spelling, as many as fit, two merges, one control token."""
    order = list(b" abcdefghijklmnopqrstuvwxyz\n.,!?'\"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    order += [b for b in range(256) if b not in order]
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    spelt = {b: chr(b) for b in plain}
    spelt.update({b: chr(256 + n) for n, b in enumerate(b for b in range(256) if b not in plain)})
    last = ["th", "the", "<|end|>"]
    pieces = [spelt[b] for b in order][:vocab - len(last)]
    pieces += [f"<|unused{n}|>" for n in range(vocab - len(last) - len(pieces))] + last
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(pieces)
    control = [p.startswith("<|") for p in pieces]
    writer.add_token_types([gguf.TokenType.CONTROL if c else gguf.TokenType.NORMAL for c in control])
    writer.add_token_merges(["t h", "th e"])
    writer.add_eos_token_id(vocab - 1)
    writer.add_add_bos_token(False)


def header(path, family, shape):
    """shape: dim, layers, ffn, heads, kv_heads, head_dim, vocab, theta, eps, optional linear (a factor), named_dims."""
    writer = gguf.GGUFWriter(path, family)
    writer.add_name(path.stem)
    writer.add_block_count(shape["layers"])
    writer.add_context_length(shape.get("context", 1024))
    writer.add_embedding_length(shape["dim"])
    writer.add_feed_forward_length(shape["ffn"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_layer_norm_rms_eps(shape["eps"])
    writer.add_rope_freq_base(shape["theta"])
    writer.add_vocab_size(shape["vocab"])
    if shape["head_dim"] * shape["heads"] != shape["dim"]:
        writer.add_key_length(shape["head_dim"])
        writer.add_value_length(shape["head_dim"])
    if family == "llama":
        writer.add_rope_dimension_count(shape["head_dim"])
    if "linear" in shape:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(shape["linear"])
    tokenizer(writer, shape["vocab"])
    return writer


def tensor_shapes(family, shape, tied):
    """{GGUF name: shape}, in the order of the file."""
    dim, ffn, q, kv = shape["dim"], shape["ffn"], shape["heads"] * shape["head_dim"], shape["kv_heads"] * shape["head_dim"]
    shapes = {"token_embd.weight": (shape["vocab"], dim)}
    for n in range(shape["layers"]):
        at = f"blk.{n}."
        shapes[at + "attn_norm.weight"] = (dim,)
        for name, rows, columns in (("q", q, dim), ("k", kv, dim), ("v", kv, dim), ("output", dim, q)):
            shapes[f"{at}attn_{name}.weight"] = (rows, columns)
            if family == "qwen2" and name != "output":
                shapes[f"{at}attn_{name}.bias"] = (rows,)
            if family == "qwen3" and name in "qk":
                shapes[f"{at}attn_{name}_norm.weight"] = (shape["head_dim"],)
        shapes[at + "ffn_norm.weight"] = (dim,)
        shapes[at + "ffn_gate.weight"] = shapes[at + "ffn_up.weight"] = (ffn, dim)
        shapes[at + "ffn_down.weight"] = (dim, ffn)
    shapes["output_norm.weight"] = (dim,)
    if not tied:
        shapes["output.weight"] = (shape["vocab"], dim)
    return shapes


def random_tensor(name, shape, rng):
    """FP32 values of sizes that keep the activations near 1 and the attention far from uniform."""
    if name.endswith("norm.weight"):
        return (1 + 0.25 * rng.standard_normal(shape)).astype(np.float32)
    if name.endswith(".bias"):
        return (0.5 * rng.standard_normal(shape)).astype(np.float32)
    gain = 1.0 if name.startswith("token_embd") else 1.6 if "attn_q" in name or "attn_k" in name else 1.0
    scale = gain if name.startswith("token_embd") else gain / np.sqrt(shape[1])
    return (scale * rng.standard_normal(shape)).astype(np.float32)
