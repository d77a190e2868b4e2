#!/usr/bin/env bash
# Installs what is missing, builds the command, fetches a small model once and lets it answer:
#   bash examples/run.sh [OPTIONS of `kinglet run`, for instance -p "Why is the sky blue?" -n 100]
set -eu
cd "$(dirname "$0")/.."
bash .ci/deps run
bash .ci/fetch
if [ ! -e build/build.ninja ]; then
  mkdir -p build
  cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DKINGLET_BUILD_TESTS=OFF >build/configure.log 2>&1 ||
    { cat build/configure.log >&2; exit 1; }
fi
echo "building build/bin/kinglet" >&2
cmake --build build --target bin/kinglet >build/build.log 2>&1 || { tail -50 build/build.log >&2; exit 1; }
[ $# -gt 0 ] || set -- -p "Who was the first person to walk on the moon, and when?" -n 64
exec build/bin/kinglet run "$@"
