#!/usr/bin/env bash
# Each installed header compiles by itself, included twice, with all warnings, and fails in C++17 with one error that asks for C++20.
# Usage: headers_alone.sh COMPILER INCLUDEDIR
set -euo pipefail
compiler=$1 include=$2 bad=0 count=0
for header in "$include"/cpgring/*.hpp; do
  name=cpgring/${header##*/}
  count=$((count + 1))
  printf '#include <%s>\n#include <%s>\nint main() {}\n' "$name" "$name" |
    "$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Werror -I"$include" -x c++ - || { echo "<$name> does not compile alone" >&2; bad=1; }
  says=$(printf '#include <%s>\n' "$name" | "$compiler" -std=c++17 -fsyntax-only -I"$include" -x c++ - 2>&1 | grep -c 'error:' || true)
  [ "$says" -eq 1 ] || { echo "<$name> with C++17: $says errors" >&2; bad=1; }
done
[ $count -gt 0 ] && exit $bad
