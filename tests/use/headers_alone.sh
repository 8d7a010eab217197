#!/usr/bin/env bash
# Each installed header compiles by itself, twice in a row, with the warnings on: headers_alone.sh COMPILER INCLUDEDIR
set -euo pipefail
compiler=$1 include=$2 bad=0 count=0
for header in "$include"/cpgring/*.hpp; do
  name=cpgring/${header##*/}
  count=$((count + 1))
  printf '#include <%s>\n#include <%s>\nint main() {}\n' "$name" "$name" |
    "$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Werror -I"$include" -x c++ - || { echo "<$name> does not stand alone" >&2; bad=1; }
done
[ $count -gt 0 ] && exit $bad
