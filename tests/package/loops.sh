#!/usr/bin/env bash
# Do the hot loops of the vector kernels keep off the stack? bash tests/package/loops.sh OBJECT...
#
# A hot loop = an innermost loop with four or more products of bytes or fused multiply-adds, in a function of strips
# (strip_product, strip_rows_product...) or of attention's blocks of six queries, in which prompts go. The blocks of the
# queries that are left, and of the few of a single row, keep addresses on the stack. add_tile_block is written out without
# a loop: none of its vectors may go there. loops_allowed.txt lists the exceptions with reasons. -v as first word lists every loop.
# Needs objdump (OBJDUMP names one for AArch64, whose loops are counted by hand only); skips (77) without.
set -eu
verbose=0
[ "${1:-}" != -v ] || { verbose=1; shift; }
objdump=${OBJDUMP:-objdump}
command -v "$objdump" >/dev/null || { echo "SKIPPED: hot loops (needs objdump)"; exit 77; }
allowed=$(cd "$(dirname "$0")" && pwd)/loops_allowed.txt
"$objdump" -f "$1" | grep -q -e x86-64 -e aarch64 || { echo "SKIPPED: hot loops (only read for x86-64 and AArch64)"; exit 77; }

for object in "$@"; do "$objdump" -dC --no-show-raw-insn -w "$object"; done | awk -v verbose=$verbose -v allowed="$allowed" '
function hex(s,   i, n) { n = 0; for (i = 1; i <= length(s); ++i) n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1; return n }
# Judges the function whose instructions lie in at[1..count], text[1..count].
function judge(   i, j, k, inner, dots, stack, label, first) {
  if (!hot || count == 0) return
  delete last
  for (i = 1; i <= count; ++i) {
    target = ""
    if (text[i] ~ /^j[a-z]+ +[0-9a-f]+( |$)/) { split(text[i], word, / +/); target = word[2] }
    else if (text[i] ~ /^(b\.|cbn?z|tbn?z)/ && match(text[i], /[0-9a-f]+ </)) target = substr(text[i], RSTART, RLENGTH - 2)
    if (target != "") {
      k = hex(target)
      if (k <= at[i] && (k in line)) last[line[k]] = i > last[line[k]] ? i : last[line[k]]
    }
  }
  if (whole) { delete last; last[1] = count }
  for (i in last) {
    inner = 1
    for (j in last) if (j + 0 > i + 0 && last[j] <= last[i]) inner = 0
    if (!inner) continue
    dots = stack = 0
    first = ""
    for (k = i + 0; k <= last[i]; ++k) {
      if (text[k] ~ /^v?(pmaddubsw|pdpbusds?|fmadd[0-9]*ps|\{vex\} vpdpbusd)/ || text[k] ~ /vpdpbusd/ || text[k] ~ /^(sdot|usdot|smmla|usmmla|smlal2?|smull2?|fmla) /) ++dots
      if (whole && text[k] !~ /[xyz]mm/) continue
      if (text[k] ~ /\(%rsp|\[sp/ || (framed && text[k] ~ /\(%rbp/)) { ++stack; if (first == "") first = text[k] }
    }
    if (dots < 4) continue
    ++loops
    if (verbose) printf "%4d instructions %4d products %3d on the stack: %s\n", last[i] - i + 1, dots, stack, name
    if (stack == 0) continue
    label = ""
    for (j in allow) if (index(name, j)) { label = j; used[j] = 1; if (stack > allow[j]) label = "" }
    if (label != "") continue
    ++bad
    printf "%s: %d of %d instructions of a hot loop read or write the stack, as \"%s\"\n", name, stack, last[i] - i + 1, first
  }
}
BEGIN {
  while ((getline row < allowed) > 0) {
    if (row ~ /^#/ || row ~ /^ *$/) continue
    split(row, part, /\t/)
    allow[part[1]] = part[2]
  }
}
/^[0-9a-f]+ <.*>:$/ {
  judge()
  name = $0
  sub(/^[0-9a-f]+ </, "", name); sub(/>:$/, "", name); sub(/^void /, "", name); sub(/\((std::byte|kinglet::ops::AttendArgs).*/, "", name)
  whole = name ~ /::add_tile_block/
  hot = whole || name ~ /::(strip_product|strip_rows_product|attend_block<6ul, false>)/
  count = framed = 0
  delete line
  next
}
/^ +[0-9a-f]+:\t/ {
  if (!hot) next
  split($0, field, /\t/)
  a = field[1]; gsub(/[ :]/, "", a)
  at[++count] = hex(a); text[count] = field[2] (3 in field ? " " field[3] : ""); line[at[count]] = count
  if (text[count] ~ /^mov +%rsp,%rbp/) framed = 1
}
END {
  judge()
  if (loops == 0) { print "no hot loop was found: the names or the products have changed"; exit 1 }
  printf "%d hot loops, %d of them on the stack\n", loops, bad
  exit bad > 0
}'
