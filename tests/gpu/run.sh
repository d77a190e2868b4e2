#!/usr/bin/env bash
# Is the cuda backend right on this machine's GPU, and how fast is it? bash tests/gpu/run.sh
#   builds for the card alone; every parity test against scalar, bit for bit; the golden hashes; the API's tests with the
#   backend forced; SmolLM2's loss and greedy answer, the CPU's to the last digit; compute-sanitizer on small shapes; then
#   bench on llama-3.2-1b and llama-3-8b (synthetic) beside the card's copy bandwidth. A table comes last.
# Under nine minutes on a machine with eight cores. Without a GPU, a driver or nvcc: says so, exit 0.
# KINGLET_GPU_BUILD names the build folder (build/gpu), CUOBJDUMP a tool that the toolkit lacks.
set -u
cd "$(dirname "$0")/../.."
export PATH=$PATH:/usr/local/cuda/bin
skip() { echo "SKIPPED: the tests on a GPU ($1)"; exit 0; }
command -v nvidia-smi >/dev/null || skip "needs an NVIDIA GPU and its driver; there is no nvidia-smi"
card=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader -i 0 2>/dev/null) || skip "needs an NVIDIA GPU; nvidia-smi finds none"
[ -n "$card" ] || skip "needs an NVIDIA GPU; nvidia-smi lists none"
command -v nvcc >/dev/null || skip "needs nvcc of CUDA 12.4 or later"
chip=$(sed 's/.*, *//; s/\.//' <<<"$card")
[ "$chip" != 90 ] || chip=90a
build=${KINGLET_GPU_BUILD:-build/gpu}
jobs=$(nproc)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
rows=() failed=0

row() { rows+=("$(printf '%-44s %s' "$1" "$2")"); }
# step SECONDS NAME COMMAND...: runs it with a limit; its output is shown where it fails.
step() {
  local limit=$1 name=$2 from=$SECONDS result=ok
  shift 2
  timeout "$limit" "$@" >"$logs/log" 2>&1
  case $? in 0) ;; 77) result=skipped ;; 124) result="FAILED (over $limit s)" ;; *) result=FAILED ;; esac
  case $result in FAILED*) failed=1; tail -60 "$logs/log" ;; esac
  row "$name" "$result, $((SECONDS - from)) s"
  [ "${result#FAILED}" = "$result" ]
}
program() { echo "$build/bin/$1"; }
configure() {
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DKINGLET_CUDA=ON -DKINGLET_CUDA_ARCHITECTURES="$chip" \
    -DKINGLET_BUILD_TESTS=ON -DKINGLET_BUILD_EXAMPLES=ON -DKINGLET_WERROR=ON &&
    cmake --build "$build" --parallel "$jobs" --target cuda_test engine_test golden_test kinglet_cli
}
# number JSON KEY
number() { python3 -c 'import json, sys
d = json.load(open(sys.argv[1])); d = d[0] if isinstance(d, list) else d
print(d[sys.argv[2]])' "$1" "$2"; }
sanitized() {
  compute-sanitizer --tool "$1" --error-exitcode 9 "$(program cuda_test)" "[small]"
}

bash .ci/deps test >/dev/null 2>&1
bash .ci/fetch >/dev/null 2>&1
model=${KINGLET_CACHE:-${HOME:-/root}/.cache/kinglet}/SmolLM2-135M-Instruct.Q4_1.gguf
row "date, card" "$(date -u +%F), $card"
step 300 "build for sm_$chip" configure || { printf '%s\n' "${rows[@]}"; exit 1; }
step 120 "parity with scalar, bit for bit" "$(program cuda_test)" "[gpu]"
step 60 "golden hashes" "$(program golden_test)" "[golden]"
# What counts bytes of the host's heap stays out: a GPU's memory is not there.
KINGLET_BACKEND=cuda step 90 "API tests, backend forced" "$(program engine_test)" -# "~[slow]~[#memory_test]~[#allocation_test]"
if [ -e "$model" ]; then
  KINGLET_BACKEND=cuda step 90 "SmolLM2: reference answers and loss" "$(program engine_test)" "SmolLM2*"
  text=docs/numbers.md
  for backend in cuda ""; do
    KINGLET_BACKEND=$backend timeout 60 "$(program kinglet)" eval "$model" --text "$text" --json >"$logs/eval$backend" 2>&1
    KINGLET_BACKEND=$backend timeout 60 "$(program kinglet)" run -m "$model" -p "Why is the sky blue?" -n 48 >"$logs/run$backend" 2>&1
  done
  if [ "$(number "$logs/evalcuda" nll)" = "$(number "$logs/eval" nll)" ] && cmp -s "$logs/runcuda" "$logs/run"; then
    row "SmolLM2: nll and greedy answer, CPU and GPU" "the same, nll $(number "$logs/eval" nll)"
  else
    row "SmolLM2: nll and greedy answer, CPU and GPU" "FAILED: they differ"
    failed=1
  fi
else
  row "SmolLM2" "skipped: $model is missing"
fi
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do step 60 "compute-sanitizer $tool" sanitized "$tool"; done
else
  row "compute-sanitizer" "skipped: the tool is missing"
fi
bandwidth=
if nvcc -O2 -o "$logs/copy" tests/gpu/copy_bandwidth.cu >"$logs/log" 2>&1 && bandwidth=$("$logs/copy"); then
  row "copy bandwidth" "$bandwidth GB/s"
fi
for shape in llama-3.2-1b llama-3-8b; do
  if ! timeout 90 "$(program kinglet)" bench --backend cuda --synthetic $shape --weights q4_0 --json >"$logs/bench" 2>"$logs/log"; then
    row "bench $shape, exact" "FAILED: $(tail -1 "$logs/log")"
    failed=1
    continue
  fi
  row "bench $shape, exact: prefill, decode" "$(python3 - "$logs/bench" "${bandwidth:-0}" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
d = d[0] if isinstance(d, list) else d
copy = float(sys.argv[2])
moved = (d["weight_bytes_per_token"] + d["kv_bytes_per_token"]) * d["decode_tokens_per_s"] / 1e9
share = f", {100 * moved / copy:.0f} % of copy bandwidth" if copy else ""
print(f'{d["prefill_tokens_per_s"]:.0f} and {d["decode_tokens_per_s"]:.1f} tokens/s{share}')
PY
)"
done
row "what exactness costs" "not measured: this build has no --bits device"
echo
printf '%s\n' "${rows[@]}"
printf 'all of it took %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
exit $failed
