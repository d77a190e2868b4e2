#!/usr/bin/env python3
"""Does the NumPy model of docs/numbers.md give the hashes that are pinned in hashes.txt and settings.txt?

Exit 77, with a line that says so, where a Python package is missing. Takes about two minutes.
"""
import hashlib
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
try:
    import numbers_model
except ImportError as error:
    print(f"SKIPPED: golden hashes against the NumPy model (needs Python's numpy, gguf and mpmath: {error})")
    sys.exit(77)

wrong = 0
for line in (HERE / "hashes.txt").read_text().splitlines() + (HERE / "settings.txt").read_text().splitlines():
    if not line or line.startswith("#"):
        continue
    name, activations, *rest, pinned = line.split()
    window, some, gate, kv, scores = rest or (0, 0, 0, "fp16", "fp16")
    setting = numbers_model.Setting(activations, kv, scores, int(window), int(some), float(gate))
    model = numbers_model.Model(HERE / "models" / f"{name}.gguf")
    logits = model.logits(numbers_model.lcg_tokens(512, model.vocab), setting)
    found = hashlib.sha256(logits.astype("<f4").tobytes()).hexdigest()
    print(f"{' '.join([name, activations, *rest]):36} {'equal' if found == pinned else f'DIFFERENT: {found}'}", flush=True)
    wrong += found != pinned
sys.exit(1 if wrong else 0)
