#!/usr/bin/env python3
"""What does a bench's JSON say? rates.py FILE BANDWIDTH (of a copy, GB/s; 0 = unknown), or rates.py EXACT DEVICE."""
import json
import sys


def read(path):
    with open(path) as file:
        rows = json.load(file)
    return rows[0] if isinstance(rows, list) else rows


first = read(sys.argv[1])
prefill, decode = "prefill_tokens_per_s", "decode_tokens_per_s"
try:
    bandwidth = float(sys.argv[2])
except ValueError:
    second = read(sys.argv[2])
    print(", ".join(f"{word} {second[key] / first[key]:.2f}x with device bits"
                    for word, key in (("prefill", prefill), ("decode", decode))))
else:
    moved = (first["weight_bytes_per_token"] + first["kv_bytes_per_token"]) * first[decode] / 1e9
    share = f", {100 * moved / bandwidth:.0f} % of copy bandwidth" if bandwidth else ""
    print(f"{first[prefill]:.0f} and {first[decode]:.1f} tokens/s{share}")
