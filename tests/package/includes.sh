#!/usr/bin/env bash
# Does every file include only what stands before its folder, and every public header only the standard library and Kinglet?
#   includes.sh SOURCE_DIR
set -eu
cd "$1"

# The order of the folders (docs: "The way of the data"); equal numbers must not include each other.
list=$(find include/kinglet src cuda -type f \( -name '*.hpp' -o -name '*.h' -o -name '*.cpp' -o -name '*.inl' -o -name '*.cu' \
       -o -name '*.cuh' \) 2>/dev/null | sort)
# shellcheck disable=SC2086
awk '
  BEGIN {
    n = split("core:1 text:2 quant:2 sparse:2 ops:3 kv:4 batch:5 model:6 sample:7 pipeline:8 engine:9", pairs, " ")
    for (i = 1; i <= n; ++i) { split(pairs[i], p, ":"); rank[p[1]] = p[2] }
    # What a public header may include beside the standard library: the intrinsics of float_env.hpp, nothing else.
    allowed["include/kinglet/core/float_env.hpp xmmintrin.h"] = 1
  }
  # The folder of a path below include/kinglet or src; a file directly there belongs to the engine.
  function folder(path) { return path ~ /\// ? substr(path, 1, index(path, "/") - 1) : "engine" }
  FNR == 1 {
    path = FILENAME; public = path ~ /^include\//
    sub(/^include\/kinglet\//, "", path); sub(/^src\//, "", path); sub(/^cuda\/.*/, "ops/x", path)
    from = folder(path)
    if (!(from in rank)) { print FILENAME ": its folder has no place in the order"; bad = 1 }
  }
  /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    name = $0; sub(/^[^<"]*[<"]/, "", name); sub(/[>"].*/, "", name)
    own = 0
    if (name ~ /^kinglet\//) { own = 1; sub(/^kinglet\//, "", name) }
    else if ($0 ~ /include[ \t]*"/) {
      own = 1
      if (public) { print FILENAME ":" FNR ": a public header names others as <kinglet/...>, not \"" name "\""; bad = 1 }
      if (name !~ /\//) name = from "/" name     # beside the including file
    }
    sub(/^cuda\//, "ops/", name)  # one more set of operations
    if (own) {
      to = folder(name)
      if (!(to in rank)) { print FILENAME ":" FNR ": includes " name ", in no folder of the order"; bad = 1 }
      else if (to != from && rank[to] >= rank[from]) {
        print FILENAME ":" FNR ": " from " must not include " to " (" name ")"; bad = 1
      }
      ++checked
    } else if (public && name !~ /^[a-z_]+$/ && !((FILENAME " " name) in allowed)) {
      print FILENAME ":" FNR ": a public header includes <" name ">, which is neither standard nor ours"; bad = 1
    }
  }
  END { if (!bad) print checked " includes in order"; exit bad }
' $list
