#!/usr/bin/env python3
"""What does a bench's JSON say? rates.py FILE BANDWIDTH [WANTED], or rates.py EXACT DEVICE.

BANDWIDTH is that of a copy in GB/s (0 = unknown), WANTED the share of it in percent that decoding is compared with.
"""
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
    if bandwidth and len(sys.argv) > 3:
        wanted = float(sys.argv[3])
        share += f" ({'as' if 100 * moved >= wanted * bandwidth else 'NOT as'} wanted: {wanted:.0f} %)"
    print(f"{first[prefill]:.0f} and {first[decode]:.1f} tokens/s{share}")
