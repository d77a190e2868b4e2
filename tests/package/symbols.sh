#!/usr/bin/env bash
# Can the library kill, print, listen or remember behind its host's back? Asks the symbols of what was built.
#   symbols.sh LIBRARY [UTF8PROC_LIBRARY [strict]]
# symbols_allowed.txt beside this script lists the exceptions, each with its reason. strict: one that nothing needs is a
# fault too (which ones are needed depends on the compiler).
set -eu
library=$1 utf8proc=${2:-} strict=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
failed=0
complain() { echo "$1"; failed=1; }

# allowed RULE OBJECT SYMBOL: is there a line "RULE OBJECT SYMBOL: reason", with * for any symbol?
declare -A used
allowed() {
  local line rule object rest
  while read -r line; do
    read -r rule object rest <<<"$line"
    # shellcheck disable=SC2053
    [[ $rule == "$1" && $2 == $object && (${rest%%: *} == "$3" || ${rest%%: *} == '*') ]] || continue
    used[$line]=1
    return 0
  done < <(grep -v '^#' "$here/symbols_allowed.txt")
  return 1
}

# What ends the process or a thread of it, lets an exception that was kept go on, writes where the host did not ask, talks
# to a network, loads code, reads the environment, takes signals or asks the system past the C library.
ends='abort|exit|_exit|_Exit|quick_exit|at_quick_exit|atexit|__assert|__assert_fail|__assert_perror_fail|err|errx|error'
ends+='|std::(terminate|unexpected)\(\)|std::__glibcxx_assert_fail.*|__chk_fail|__fortify_fail|pthread_(exit|cancel|kill)'
ends+='|std::(rethrow_exception|rethrow_if_nested|current_exception|throw_with_nested).*|std::__exception_ptr::.*'
prints='w?printf|vw?printf|puts|putw?char(_unlocked)?|putw?c|fputw?s|fputw?c|fwrite(_unlocked)?|fw?printf|vfw?printf|v?dprintf'
prints+='|perror|__(v?f?d?)printf_chk|psignal|stdout|stderr|stdin|v?syslog|openlog|std::(w?cout|w?cerr|w?clog|w?cin)'
prints+='|std::ios_base::Init::.*|std::print.*|(p?writev?|pwritev?2?|pwrite64|pwritev64)|splice|sendfile(64)?'
network='socket|connect|bind|listen|accept4?|send|sendto|sendmsg|recv|recvfrom|recvmsg|getaddrinfo|gethostbyname'
loads='dlopen|dlmopen|dlsym|execv?[lpe]*|posix_spawnp?|system|v?fork|popen|clone'
reads='getenv|secure_getenv|environ|__environ|setenv|unsetenv|putenv|clearenv|setlocale|uselocale'
signals='signal|sigaction|sigprocmask|pthread_sigmask|raise|kill|tgkill|alarm|setitimer|_?longjmp|siglongjmp|_?setjmp|__sigsetjmp'
leave='syscall|prctl|arch_prctl'
randoms='rand|srand|random|srandom|drand48'
forbidden="^($ends|$prints|$network|$loads|$reads|$signals|$leave|$randoms)(@.*)?$"

undefined() {  # OBJECT SYMBOL, one a line
  nm -A -C --undefined-only "$@" 2>/dev/null | sed -nE 's/^[^:]*:([^:]*):? +[Uuvw] (.*)$/\1 \2/p'
}
check_undefined() {
  while read -r object symbol; do
    [[ $symbol =~ $forbidden ]] || continue
    allowed calls "$object" "${symbol%%@*}" || complain "$object calls $symbol"
  done
}

if [[ $library == *.a ]]; then
  objects=$(ar t "$library")
  check_undefined < <(undefined "$library")

  # Memory that is written and outlives a call: a section for it, but not the one that is read-only after loading, nor
  # the compiler's DW.ref pointers to what handles exceptions, which the loader fills.
  while read -r object symbol; do
    allowed keeps "$object" "$symbol" || complain "$object keeps the writable global $symbol"
  done < <(objdump -t -C "$library" | awk '
    /file format/ { object = $1; sub(/:$/, "", object) }
    match($0, /\.(data|bss|tdata|tbss|tm_clone)[^ \t]*\t[0-9a-f]+ /) {
      split(substr($0, RSTART, RLENGTH), part, /[\t ]/)
      if (part[1] ~ /^\.data\.rel\.(ro|local\.DW\.ref\.)/ || part[2] ~ /^0+$/) next
      symbol = substr($0, RSTART + RLENGTH); sub(/^\.hidden /, "", symbol); print object, symbol
    }')

  # Code that runs when the host starts, and symbols that all copies in a process would share.
  while read -r object; do
    allowed starts "$object" init_array || complain "$object runs code before main"
  done < <(objdump -h "$library" | awk '/file format/ { o = $1; sub(/:$/, "", o) } / \.(init_array|ctors)/ { print o }')
  while read -r symbol; do
    complain "$symbol is unique in the process (STB_GNU_UNIQUE)"
  done < <(nm -C --defined-only "$library" 2>/dev/null | sed -nE 's/^[0-9a-f]+ u //p')

  # Strong names: ours alone, so that nothing of the host is replaced.
  while read -r symbol; do
    complain "$symbol is defined outside of kinglet"
  done < <(nm -C --defined-only --extern-only "$library" 2>/dev/null | sed -nE 's/^[0-9a-f]+ [TDBRSG] //p' |
           grep -vE '^((non-virtual )?(thunk|vtable|typeinfo|typeinfo name|VTT|guard variable) (to|for) )?kinglet(::|_)' || true)
else
  # Everything a shared build exports, and what it asks of the C library.
  objects=library
  exported=$(nm -D -C --defined-only "$library" | sed -nE 's/^[0-9a-f]+ [A-Za-z] //p')
  while read -r symbol; do
    [[ $symbol =~ ^KINGLET_[0-9.]+(@.*)?$ ]] || complain "$symbol is exported"
  done < <(grep -vE '^((vtable|typeinfo|typeinfo name|VTT) for )?kinglet(::|_)' <<<"$exported" || true)
  check_undefined < <(nm -D -C --undefined-only "$library" | sed -nE 's/^ +[Uvw] /library /p')
  [ "$(grep -c kinglet <<<"$exported")" -gt 0 ] || complain "nothing is exported"
fi
# The one library that ours brings along, in whichever form it is linked.
case $utf8proc in
  '') ;;
  *.a) check_undefined < <(undefined "$utf8proc") ;;
  *)
    symbols=$(nm -D --undefined-only "$utf8proc" | sed -nE 's/^ +[Uvw] /utf8proc /p')
    [ -n "$symbols" ] || complain "$utf8proc asks for nothing: is it a library?"
    check_undefined <<<"$symbols"
    ;;
esac

if [ -n "$strict" ]; then
  while read -r line; do
    read -r rule object rest <<<"$line"
    [ -z "${used[$line]:-}" ] || continue
    while read -r name; do
      # shellcheck disable=SC2053
      [[ $name == $object ]] || continue
      complain "symbols_allowed.txt: nothing needs the line of $rule $object ${rest%%: *}"
      break
    done <<<"$objects"
  done < <(grep -v '^#' "$here/symbols_allowed.txt")
fi
[ $failed = 0 ] && echo "the symbols of $(basename "$library") are in order"
exit $failed
