#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test: bash tests/run.sh [OPTIONS of ctest]
set -eu
cd "$(dirname "$0")/.."
jobs=$(nproc)
bash .ci/deps test
bash .ci/fetch || echo "tests: no model, its tests will be skipped"
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DKINGLET_BUILD_TESTS=ON -DKINGLET_BUILD_EXAMPLES=ON \
  -DKINGLET_WERROR="${KINGLET_WERROR:-OFF}" ${PYTHON:+-DPython3_EXECUTABLE="$(command -v "$PYTHON")"}
cmake --build build
failed=0
ctest --test-dir build --output-on-failure --parallel "$jobs" "$@" || failed=1
bash .ci/skipped build/Testing/Temporary/LastTest.log || failed=1
exit $failed
