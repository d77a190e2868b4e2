#!/usr/bin/env bash
# Is every function of the public headers noexcept? Asks Clang for their declarations; skips visibly without it.
#   noexcept.sh SOURCE_DIR
# (tests/engine/noexcept_test.cpp asserts it for the API's own functions under every compiler.)
set -eu
cd "$1"
clang=${CLANG:-$(command -v clang++ clang++-14 clang++-19 | head -1)}
if [ -z "$clang" ]; then
  echo "SKIPPED: noexcept of the public headers (needs clang++)"
  exit 77
fi

# What may throw, and why it may: a name, and the type that tells it from others of that name.
allowed() {
  case $1 in
    "do_allocate 'void *(std::size_t, std::size_t)'" | "do_deallocate 'void (void *, std::size_t, std::size_t)'") ;;  # std::pmr
    "ThreadPool 'void (unsigned int, "*) ;;  # not exported: the engine's own, which catches what the system throws
    # Private: what a static create() or a call that is noexcept wraps.
    "Forward 'void ("* | "CsrMatrix 'void ("* | "store_fp16 '"* | "store_int4 '"*) ;;
    "PagePool 'void ("* | "PageTable 'void ("* | "put '"* | "start '"*) ;;
    *) return 1 ;;
  esac
}

headers=$(find include/kinglet -name '*.hpp' -printf '%P\n' | sort)
tree=$(mktemp)
trap 'rm -f "$tree"' EXIT
while read -r header; do printf '#include <kinglet/%s>\n' "$header"; done <<<"$headers" |
  "$clang" -std=c++20 -Iinclude -fsyntax-only -Xclang -ast-dump -Xclang -ast-dump-filter=kinglet -fno-color-diagnostics \
    -x c++ - >"$tree"
# Declarations, without those that the compiler makes, that cannot be called, and the calls of lambdas.
functions=$(grep -E '(Function|CXXMethod|CXXConversion|CXXConstructor|CXXDestructor)Decl ' "$tree" |
            grep -vE " implicit | delete( |$)|operator\(\) 'auto \(" || true)
failed=0 count=0
while read -r function; do
  count=$((count + 1))
  [[ $function == *"noexcept"* ]] && continue
  # The declaration's name and type stand at the end, behind where it is.
  what=$(sed -E "s/^.* (line|col):[0-9:]+ (used |referenced |constexpr )*//; s/ (inline|static|default|virtual).*$//" <<<"$function")
  allowed "$what" || { echo "may throw: $what"; failed=1; }
done <<<"$functions"
[ "$count" -gt 200 ] || { echo "only $count declarations were found: has Clang's output changed?"; failed=1; }
[ $failed = 0 ] && echo "$count declarations of the public headers, all noexcept but what is allowed"
exit $failed
