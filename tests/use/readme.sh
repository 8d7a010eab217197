#!/usr/bin/env bash
# Takes the README's first C++ program out of the page, builds it against the installed package and runs it, in a minute at most:
# readme.sh README COMPILER PREFIX LIBDIR WORKDIR
set -euo pipefail
readme=$1 compiler=$2 prefix=$3 libdir=$4 workdir=$5
mkdir -p "$workdir"
awk '/^```/ { if (inside) { if (block ~ /int main/) { printf "%s", block; exit } inside = 0 } else if ($0 == "```cpp") { inside = 1; block = "" } next }
     inside { block = block $0 "\n" }' "$readme" >"$workdir/readme.cpp"
if [ ! -s "$workdir/readme.cpp" ]; then
  echo "$readme has no block marked \`\`\`cpp with an 'int main'" >&2
  exit 1
fi
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
read -ra flags < <(pkg-config --cflags --libs cpgring)
"$compiler" -std=c++20 -Wall -Wextra -Werror "$workdir/readme.cpp" -o "$workdir/readme" "${flags[@]}"
LD_LIBRARY_PATH=$prefix/$libdir timeout 60 "$workdir/readme" | tee "$workdir/output"
grep -q '^process [0-9]* says: hello, group$' "$workdir/output"
