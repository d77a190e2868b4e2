#!/usr/bin/env bash
# What does the command say where the driver is too old, finds no GPU, or fails? poor_drivers.sh KINGLET (built with CUDA)
# The real runtime meets a driver of ours: one line on stderr that says what is wrong, exit 1, and the CPU still answers.
set -eu
kinglet=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
${CC:-cc} -Wall -Wextra -shared -fPIC -o "$work/libcuda.so.1" "$here/poor_driver.c"
run() {  # VERSION CODE BACKEND
  POOR_DRIVER_VERSION=$1 POOR_DRIVER_INIT=$2 LD_LIBRARY_PATH=$work "$kinglet" run \
    -m "$here/../golden/models/plain.gguf" -p x -n 2 --backend "$3"
}
expect() {  # VERSION CODE WORDS
  local code=0 said
  said=$(run "$1" "$2" cuda 2>&1 >/dev/null) || code=$?
  echo "$said"
  if [ $code != 1 ] || [ "$(wc -l <<<"$said")" != 1 ] || ! grep -q "$3" <<<"$said"; then
    echo "poor_drivers: exit $code; expected 1 and one line with: $3" >&2
    exit 1
  fi
}
expect 11040 0 "needs a driver for CUDA 1[2-9].*this machine's is for 11.4; update it"
expect 13000 100 "needs an NVIDIA GPU, which this machine lacks or hides"
expect 13000 3 "cudaGetDeviceCount: initialization error (code 3)"
run 11040 0 scalar >/dev/null
