#!/usr/bin/env bash
# Does every public header compile alone, twice over? And the API in a host without exceptions and with -ffast-math?
#   headers.sh SOURCE_DIR COMPILER
set -eu
cd "$1"
export compiler=$2
one() {
  printf '#include <%s>\n#include <%s>\nint main() {}\n' "${1#include/}" "${1#include/}" |
    "$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -x c++ - ||
    { echo "$1 does not compile alone"; return 1; }
}
export -f one
find include -name '*.hpp' -print0 | sort -z | xargs -0 -n 1 -P "$(nproc)" bash -c 'one "$0"'

# Games switch exceptions and type information off, and IEEE arithmetic too.
for header in include/kinglet/*.hpp; do
  printf '#include <%s>\nint main() {}\n' "${header#include/}" |
    "$compiler" -std=gnu++20 -fsyntax-only -Werror -ffast-math -fno-exceptions -fno-rtti -fvisibility=hidden -DKINGLET_SHARED \
      -Iinclude -x c++ -
done

# The C header is C.
for header in include/kinglet/*.h; do
  [ -e "$header" ] || continue
  printf '#include <%s>\nint main(void) { return 0; }\n' "${header#include/}" |
    "${CC:-cc}" -std=c99 -fsyntax-only -Wall -Wextra -Wpedantic -Werror -Iinclude -x c -
done
echo "$(find include -name '*.hpp' | wc -l) headers compile alone"
