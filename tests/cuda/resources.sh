#!/usr/bin/env bash
# What does each kernel take, and has it a test? resources.sh LIST OBJECT...
#   LIST    names of the kernels that ran on the emulator, one a line (cuda_test writes it)
#   OBJECT  what nvcc made of cuda/*.cu
# Every kernel in the objects, on every chip: no stack, no local memory (so no spills), and a name in LIST; or a line in
# exceptions.txt with the reason. (Registers for a whole block are the compiler's duty: __launch_bounds__ says its size.)
# $CUOBJDUMP names the tool; without it the toolkit's folder, PATH and Python's packages are searched; 77 = skipped.
set -euo pipefail
list=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
tool=${CUOBJDUMP:-$(command -v cuobjdump || true)}
if [ -z "$tool" ]; then
  for tool in /usr/local/cuda/bin/cuobjdump $(python3 -c 'import importlib.util as u, os
for name, path in (("triton", "backends/nvidia/bin"), ("nvidia.cuda_nvcc", "bin"), ("nvidia.cu13", "bin")):
  try: spec = u.find_spec(name)
  except ImportError: continue
  for folder in (spec.submodule_search_locations or []) if spec else []:
    print(os.path.join(folder, path, "cuobjdump"))' 2>/dev/null || true); do
    [ -x "$tool" ] && break
    tool=
  done
fi
[ -n "$tool" ] || { echo "SKIPPED: the kernels' resources (needs cuobjdump)"; exit 77; }
[ -s "$list" ] || { echo "resources: $list is empty; run cuda_test first" >&2; exit 1; }

for object in "$@"; do "$tool" -res-usage "$object"; done | c++filt -i | awk -v list="$list" -v exceptions="$here/exceptions.txt" '
  BEGIN {
    while ((getline line < list) > 0) tested[line] = 1
    while ((getline line < exceptions) > 0) {
      if (line ~ /^#/ || line == "") continue
      at = index(line, ": ")
      if (at < 2 || length(line) < at + 10) { print "exceptions.txt: no reason in: " line; bad = 1; continue }
      excepted[substr(line, 1, at - 1)] = 1
    }
  }
  /^arch = / { chip = $3; next }
  /^ *Function / {
    name = $0
    sub(/^ *Function void kinglet::cuda::entry</, "", name)
    name = substr(name, 1, index(name, ">(") - 1)
    gsub(/> >/, ">>", name)
    sub(/ +$/, "", name)
    next
  }
  /REG:/ && name != "" {
    kernels[chip]++
    found[name] = 1
    split("", value)
    for (i = 1; i <= NF; i++) { split($i, part, ":"); value[part[1]] = part[2] }
    if (value["REG"] > most[chip]) most[chip] = value["REG"]
    wrong = ""
    if (value["STACK"] != 0) wrong = wrong " stack " value["STACK"] " bytes;"
    if (value["LOCAL"] != 0) wrong = wrong " local memory " value["LOCAL"] " bytes;"
    if (!(name in tested)) wrong = wrong " it is in no test on the emulator;"
    if (wrong != "" && (name in excepted)) used[name] = 1
    if (wrong != "" && !(name in excepted)) { print chip " " name ":" wrong; bad = 1 }
    name = ""
  }
  END {
    for (chip in kernels) print chip ": " kernels[chip] " kernels, at most " most[chip] " registers"
    for (name in tested) if (!(name in found)) { print "tested, but in no object: " name; bad = 1 }
    for (name in excepted) if (!(name in used)) { print "exceptions.txt: nothing is wrong with " name; bad = 1 }
    if (length(kernels) == 0) { print "no kernel was found"; bad = 1 }
    exit bad
  }'
