#!/usr/bin/env bash
# Kinglet beside other engines, in turn (A-B-A-B), on the same file: the median of the paired ratios of each row.
#   bash tests/bench/compare.sh KINGLET MODEL [--peer FOLDER [-- ITS FLAGS FOR llama-bench]]...
# FOLDER has the peer's llama-bench and llama-batched-bench, and for `first` its llama-completion or llama-cli. Settings come from the environment:
#   ROWS     of decode prefill batch long first ("decode prefill"). first: a process that reads 512 tokens of docs/numbers.md
#            and answers with one, from its start to its end; its peak memory, in MB
#   TIMES    how often each engine has its turn (5)
#   THREADS  (2)
#   WITH     a command that runs each turn, to keep the machine quiet meanwhile (none)
#   OUT      folder that keeps what each engine wrote (a temporary one)
set -eu
[ $# -ge 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
kinglet=$1 model=$2
shift 2
rows=${ROWS:-decode prefill} times=${TIMES:-5} threads=${THREADS:-2} out=${OUT:-$(mktemp -d)}
peers=() flags=()
while [ $# -gt 0 ]; do
  [ "$1" = --peer ] && [ $# -ge 2 ] || { echo "compare: --peer FOLDER, not '$1'" >&2; exit 2; }
  [ -x "$2/llama-bench" ] || { echo "compare: $2 has no llama-bench" >&2; exit 1; }
  peers+=("$2")
  shift 2
  own=
  if [ "${1:-}" = -- ]; then
    shift
    while [ $# -gt 0 ] && [ "$1" != --peer ]; do own+=" $1"; shift; done
  fi
  flags+=("$own")
done
mkdir -p "$out"

# turn NAME ENGINE COMMAND...: keeps what the command writes; a turn that fails has no share in the result.
turn() {
  local file=$out/$1.$2
  shift 2
  ${WITH:-} "$@" >"$file" 2>"$file.err" || echo "compare: $file: failed, see $file.err" >&2
}
# For the batched benchmark, which spells switches differently from llama-bench: -fa 1 is -fa on, -rtr 1 is -rtr.
batched_flags() { sed 's/-fa 1/-fa on/; s/-rtr 1/-rtr/' <<<"$1"; }

# Runs a command and writes how long it took, and its peak resident memory.
process='import json, os, subprocess, sys, time
begin = time.monotonic()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
_, status, usage = os.wait4(child.pid, 0)
print(json.dumps([{"ms": 1e3 * (time.monotonic() - begin), "peak_mb": usage.ru_maxrss * 1024 / 1e6}]))
sys.exit(status != 0)'
prompt=$out/prompt.txt
head -c 953 "$(dirname "$0")/../../docs/numbers.md" >"$prompt"

for ((i = 0; i < times; i++)); do
  for row in $rows; do
    case $row in
      first) set -- python3 -c "$process" "$kinglet" run --model "$model" --format text --prompt "$(cat "$prompt")" -n 1 --ctx 1024 ;;
      *) set -- "$kinglet" bench "$model" --suite "$row" --repeats 1 -n 64 --json ;;
    esac
    turn "$row.$i" ours "$@" --threads "$threads"
    for p in "${!peers[@]}"; do
      case $row in
        decode) set -- "${peers[p]}/llama-bench" -o json -r 1 -p 0 -n 64 ${flags[p]} ;;
        prefill) set -- "${peers[p]}/llama-bench" -o json -r 1 -p 512 -n 0 ${flags[p]} ;;
        batch) set -- "${peers[p]}/llama-batched-bench" -c 2048 -b 2048 -ub 512 -npp 16 -ntg 32 -npl 8,16,32 $(batched_flags "${flags[p]}") ;;
        long) set -- "${peers[p]}/llama-batched-bench" -c 8320 -b 2048 -ub 512 -npp 8192 -ntg 32 -npl 1 $(batched_flags "${flags[p]}") ;;
        first)
          program=${peers[p]}/llama-completion plain=-no-cnv
          [ -x "$program" ] || program=${peers[p]}/llama-cli plain=
          set -- python3 -c "$process" "$program" -f "$prompt" -n 1 -c 1024 --no-warmup $plain $(batched_flags "${flags[p]}") ;;
        *) echo "compare: there is no row '$row'" >&2; exit 2 ;;
      esac
      turn "$row.$i" "peer$p" "$@" -m "$model" -t "$threads"
    done
  done
done

python3 - "$out" "$times" "${rows}" "${peers[@]}" <<'PYTHON'
import json, os, statistics, sys

out, times, rows, peers = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(), sys.argv[4:]


def read(name):
    """{(what, sessions): tokens/s} of one turn, and its shares."""
    rates, shares, whole = {}, {}, []
    try:
        text = open(os.path.join(out, name), errors="replace").read()
        whole = json.loads(text[text.index("["):])
    except (OSError, ValueError):
        pass  # no list: a table of the batched benchmark, or a turn that failed
    for one in whole:
        if "work" in one:
            if one["prefill_tokens_per_s"]:
                rates["prefill", one["rows"]] = one["prefill_tokens_per_s"]
                shares["prefill", one["rows"]] = one["prefill_group32_fraction"]
            if one["decode_tokens_per_s"]:
                rates["decode", one["rows"]] = one["decode_tokens_per_s"]
                shares["decode", one["rows"]] = one["decode_limit_fraction"]
        elif "ms" in one:
            rates["ms", 1], rates["peak MB", 1] = one["ms"], one["peak_mb"]
        elif "avg_ts" in one:
            rates["prefill" if one["n_gen"] == 0 else "decode", 1] = one["avg_ts"]
    for file in (name, name + ".err"):
        path = os.path.join(out, file)
        for line in open(path, errors="replace") if os.path.exists(path) else []:
            cells = line.strip().strip("|").split("|")
            if line.startswith("|") and len(cells) == 10 and cells[0].strip().isdigit():
                rates["prefill", int(cells[2])] = float(cells[5])
                rates["decode", int(cells[2])] = float(cells[7])
    return rates, shares


print("| work | ours, in tokens/s where nothing else stands there (spread) | share of the limit | " + " | ".join(f"{p} (ratio)" for p in peers) + " |")
print("| --- " * (3 + len(peers)) + "|")
for row in rows:
    ours = [read(f"{row}.{i}.ours") for i in range(times)]
    theirs = [[read(f"{row}.{i}.peer{p}")[0] for i in range(times)] for p in range(len(peers))]
    for key in sorted(set().union(*(o[0] for o in ours))):
        values = [o[0][key] for o in ours if key in o[0]]
        share = next((f"{statistics.median(s):.3f}" for s in [[o[1][key] for o in ours if key in o[1]]] if s), "")
        middle = statistics.median(values)
        line = f"| {row}: {key[0]} of {key[1]} | {middle:.1f} ({(max(values) - min(values)) / middle:.0%}) | {share} |"
        for turns in theirs:
            pairs = [(o[0][key], t[key]) for o, t in zip(ours, turns) if key in o[0] and key in t]
            line += f" {statistics.median(t for _, t in pairs):.1f} ({statistics.median(o / t for o, t in pairs):.2f}) |" if pairs else " |"
        print(line)
PYTHON
echo "what each engine wrote: $out"
