#!/usr/bin/env bash
# Does NEON give the bits of this machine's scalar kernels, and the golden ones? bash tests/golden/neon.sh [FOLDER]
#
# Compiles tests/ops/kernel_hash.cpp for this machine and for AArch64, runs the latter under qemu-user, and compares; then
# the whole library for AArch64, which must give the pinned hashes of the golden models inside a hostile host
# (engine_hash.cpp).
# Needs aarch64-linux-gnu-g++ (Debian: g++-aarch64-linux-gnu) and qemu-aarch64 (qemu-user); skips visibly without.
# CXX_AARCH64 and QEMU_AARCH64 name others.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-build/neon}
first_of() { for tool in "$@"; do command -v "$tool" && return; done || true; }
cross=${CXX_AARCH64:-$(first_of aarch64-linux-gnu-g++ aarch64-linux-gnu-g++-12 aarch64-linux-gnu-g++-14)}
qemu=${QEMU_AARCH64:-$(first_of qemu-aarch64 qemu-aarch64-static)}
if [ -z "$cross" ]; then echo "SKIPPED: NEON against scalar (needs aarch64-linux-gnu-g++)"; exit 0; fi
if [ -z "$qemu" ]; then echo "SKIPPED: NEON against scalar (needs qemu-aarch64)"; exit 0; fi

kernels="$(ls src/core/*.cpp src/ops/*.cpp src/ops/kernels/*.cpp) src/quant/format.cpp src/sparse/gate.cpp"
library=$(find src -name '*.cpp')
launcher=$(first_of ccache)
# compile FOLDER SOURCES COMPILER OPTIONS...
compile() {
  local folder=$1 sources=$2
  shift 2
  rm -rf "$folder"
  mkdir -p "$folder"
  for source in $sources; do echo "$source"; done | xargs -P "$(nproc)" -I{} bash -c '
    folder=$0
    exec "$@" -std=c++20 -O2 -ffp-contract=off -Iinclude -Isrc -I. -c {} -o "$folder/$(echo {} | tr / _).o"' \
    "$folder" $launcher "$@"
}
# fmt is header-only and utf8proc's functions are not called, so the host's headers serve; a folder with nothing else
# keeps the rest of /usr/include out.
mkdir -p "$out/include"
for header in /usr/include/{fmt,utf8proc.h} /usr/local/include/{fmt,utf8proc.h}; do
  [ ! -e "$header" ] || ln -sfn "$header" "$out/include/$(basename "$header")"
done
compile "$out/host" "tests/ops/kernel_hash.cpp $kernels" "${CXX:-c++}"
"${CXX:-c++}" "$out"/host/*.o -pthread -o "$out/host/kernel_hash"
compile "$out/aarch64" "$library tests/golden/no_utf8proc.cpp" "$cross" -isystem "$out/include"
for program in tests/ops/kernel_hash.cpp tests/golden/engine_hash.cpp; do
  "$cross" -std=c++20 -O2 -ffp-contract=off -Iinclude -Isrc -I. -isystem "$out/include" -static "$program" \
    "$out"/aarch64/*.o -pthread -o "$out/aarch64/$(basename "$program" .cpp)"
done

"$out/host/kernel_hash" scalar >"$out/scalar.txt"
failed=0
# The backend takes the best products that its processor has: a Cortex-A53 has neither kind of dot product, "max" both.
for run in "cortex-a53 neon" "max neon neon_dot" "max neon neon_i8mm" "max scalar"; do
  cpu=${run%% *} name=${run#* }
  # shellcheck disable=SC2086
  "$qemu" -cpu "$cpu" "$out/aarch64/kernel_hash" $name >"$out/aarch64.txt"
  if diff "$out/scalar.txt" "$out/aarch64.txt"; then
    echo "ok: $name on AArch64 ($cpu) and scalar on $(uname -m): $(wc -l <"$out/scalar.txt") hashes agree"
  else
    echo "FAILED: $name on AArch64 ($cpu) differs from scalar on $(uname -m)"
    failed=1
  fi
done
# The golden models: every kind of activations on a processor without dot products, and both kinds of dot products.
for run in "cortex-a53 neon" "neoverse-n1 neon int8" "max neon int8"; do
  cpu=${run%% *} name=${run#* }
  # shellcheck disable=SC2086
  if "$qemu" -cpu "$cpu" "$out/aarch64/engine_hash" tests/golden $name >"$out/golden.txt"; then
    echo "ok: $name on AArch64 ($cpu) in a hostile host: $(tail -1 "$out/golden.txt")"
  else
    cat "$out/golden.txt"
    echo "FAILED: $name on AArch64 ($cpu) does not give the golden hashes"
    failed=1
  fi
done
exit $failed
