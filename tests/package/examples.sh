#!/usr/bin/env bash
# Does every example run, and say something? Those without a model run alone, the others with SmolLM2.
#   examples.sh SOURCE_DIR BIN_DIR
set -eu
source=$1 bin=$2
model=${KINGLET_CACHE:-${HOME:-/root}/.cache/kinglet}/SmolLM2-135M-Instruct.Q4_1.gguf
failed=0 ran=0
complain() { echo "examples: $1"; failed=1; }

for file in "$source"/examples/*.cpp; do
  name=$(basename "$file" .cpp)
  arguments=()
  if grep -q MODEL.gguf "$file"; then
    if [ ! -e "$model" ]; then
      echo "SKIPPED: the example $name (needs $(basename "$model"))"
      continue
    fi
    arguments=("$model" "Name three colours of the rainbow.")
    # Without a model it says how it is called.
    code=0
    "$bin/$name" 2>/dev/null || code=$?
    [ $code = 2 ] || complain "$name without arguments exits with $code, not 2"
    code=0
    said=$("$bin/$name" /nowhere.gguf 2>&1) || code=$?
    [ $code = 1 ] && [ "$(wc -l <<<"$said")" = 1 ] || complain "$name exits with $code for a model that is not there: $said"
  fi
  if said=$("$bin/$name" "${arguments[@]}"); then
    [ "${#said}" -gt 40 ] || complain "$name says no more than: $said"
    [ ${#arguments[@]} = 0 ] || [[ $name == many_sessions || ${said,,} =~ red|blue|green|yellow ]] || complain "$name answers: $said"
  else
    complain "$name fails"
  fi
  ran=$((ran + 1))
done
[ $failed = 0 ] && echo "$ran examples ran"
exit $failed
