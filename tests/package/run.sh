#!/usr/bin/env bash
# Does every way of linking Kinglet work, with the pinned bits? Builds consumer projects in a temporary folder:
#   run.sh [BUILD]     BUILD: a static release build with its library made (default: build)
# KINGLET_PACKAGE_FOLDER keeps the folder (and what it holds) instead.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
build=$(cd "${1:-$source/build}" && pwd)
model=$here/../golden/models/q4.gguf
pinned() { awk -v activations="$1" '$1 == "q4" && $2 == activations { print $3 }' "$here/../golden/hashes.txt"; }
expected="$(pinned fp32) $(pinned int8) $(pinned fp8)"
if [ -n "${KINGLET_PACKAGE_FOLDER:-}" ]; then
  mkdir -p "$KINGLET_PACKAGE_FOLDER"
  work=$(cd "$KINGLET_PACKAGE_FOLDER" && pwd)
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
export CCACHE_BASEDIR=$source
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")

quiet() {  # LOG COMMAND...: shows the log only where the command fails
  local log=$work/$1.log
  shift
  "$@" >"$log" 2>&1 || { tail -40 "$log"; echo "package: failed: $*"; exit 1; }
}
project() {  # NAME FOLDER OPTIONS...: configures and builds a consumer project
  local name=$1 folder=$2
  shift 2
  quiet "$name-configure" cmake -S "$here/$folder" -B "$work/$name" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" "$@"
  quiet "$name-build" cmake --build "$work/$name"
}
same() {  # NAME COMMAND...: what it prints must be the golden hashes
  local name=$1 hashes
  shift
  hashes=$("$@") || { echo "package: $name fails"; exit 1; }
  [ "$hashes" = "$expected" ] || { echo "package: $name computes $hashes, not $expected"; exit 1; }
  echo "package: $name gives the pinned bits"
}
plain() {  # NAME PREFIX FLAGS...: one compiler call with what pkg-config says
  local name=$1 prefix=$2
  shift 2
  # shellcheck disable=SC2046
  quiet "$name" "$compiler" -std=c++20 "$@" "$here/consumer.cpp" -o "$work/$name" \
    $(PKG_CONFIG_PATH=$prefix/lib/pkgconfig:$prefix/lib64/pkgconfig pkg-config --cflags --libs kinglet) -Wl,-rpath,"$prefix/lib"
}

# Installed and moved: nothing may remember where it was.
quiet install-static cmake --install "$build" --prefix "$work/installed"
lib=$(cd "$work/installed" && dirname "$(find . -name 'libkinglet.*' | head -1)")
[ "$lib" = ./lib ] || ln -sfn "$lib" "$work/installed/lib"
rm -rf "$work/static" && mv "$work/installed" "$work/static"

project find-static find_package -DCMAKE_PREFIX_PATH="$work/static"
same find_package-static "$work/find-static/consumer" "$model"
plain pkg-static "$work/static" -O2
same pkg-config-static "$work/pkg-static" "$model"
plain pkg-fast "$work/static" -O3 -march=native -ffp-contract=fast
same consumer-fp-contract-fast "$work/pkg-fast" "$model"
plain pkg-debug "$work/static" -O0 -fno-exceptions -fno-rtti
same consumer-no-exceptions "$work/pkg-debug" "$model"

# The library itself unoptimised inside somebody's tree, and under somebody's flags in a shared one (-O2 is the least at
# which GCC contracts).
project subdirectory add_subdirectory -DCMAKE_BUILD_TYPE=Debug -DKINGLET_CUDA=OFF
same add_subdirectory-debug "$work/subdirectory/consumer" "$model"
project copies copies -DCMAKE_BUILD_TYPE=Release -DKINGLET_CUDA=OFF -DBUILD_SHARED_LIBS=ON \
  -DKINGLET_STATIC_PREFIX="$work/static" -DCMAKE_CXX_FLAGS="-march=native -ffp-contract=fast" \
  -DCMAKE_CXX_FLAGS_RELEASE="-O2 -DNDEBUG"
same copies-in-one-process "$work/copies/host" "$model" "$work"/copies/{static_first,shared_first,static_second,shared_second}.so
bash "$here/symbols.sh" "$work/copies/kinglet/libkinglet.so"

quiet install-shared cmake --install "$work/copies" --prefix "$work/shared"
project find-shared find_package -DCMAKE_PREFIX_PATH="$work/shared"
same find_package-shared "$work/find-shared/consumer" "$model"
plain pkg-shared "$work/shared" -O2 -fvisibility=hidden
same pkg-config-shared "$work/pkg-shared" "$model"
echo "package: every consumer gives the pinned bits"
