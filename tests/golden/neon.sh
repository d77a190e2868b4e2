#!/usr/bin/env bash
# Do the NEON kernels give the bits of the scalar ones on this machine? bash tests/golden/neon.sh [FOLDER]
#
# Compiles tests/ops/kernel_hash.cpp for this machine and for AArch64, runs the latter under qemu-user, and compares.
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

sources="tests/ops/kernel_hash.cpp $(ls src/core/*.cpp src/ops/*.cpp src/ops/kernels/*.cpp) src/quant/format.cpp
  src/sparse/gate.cpp"
launcher=$(first_of ccache)
# compile FOLDER COMPILER OPTIONS...
compile() {
  local folder=$1
  shift
  mkdir -p "$folder"
  for source in $sources; do echo "$source"; done | xargs -P "$(nproc)" -I{} bash -c '
    folder=$0
    exec "$@" -std=c++20 -O2 -ffp-contract=off -Iinclude -Isrc -I. -c {} -o "$folder/$(echo {} | tr / _).o"' \
    "$folder" $launcher "$@"
  "$@" -static "$folder"/*.o -pthread -o "$folder/kernel_hash"
}
compile "$out/host" "${CXX:-c++}"
# fmt is header-only, so the host's headers serve; a folder with nothing else keeps the rest of /usr/include out.
mkdir -p "$out/include"
for folder in /usr/include/fmt /usr/local/include/fmt; do [ ! -d $folder ] || ln -sfn $folder "$out/include/fmt"; done
compile "$out/aarch64" "$cross" -isystem "$out/include"

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
exit $failed
