#!/usr/bin/env bash
# Extracts the README's first C++ program, builds it against the installed package and runs it, without a service and with `cpgring serve`.
# It needs its own namespace, where no other service has that name.
# Usage: readme.sh README COMPILER PREFIX LIBDIR WORKDIR
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
export LD_LIBRARY_PATH=$prefix/$libdir

status=0
timeout 60 "$workdir/readme" >"$workdir/output" 2>"$workdir/errors" || status=$?
if [ "$status" -ne 1 ] || [ -s "$workdir/output" ] || [ "$(wc -l <"$workdir/errors")" -ne 1 ]; then
  echo "without a service: status $status, not 1 and one line on standard error:" >&2
  cat "$workdir/output" "$workdir/errors" >&2
  exit 1
fi

"$prefix/bin/cpgring" serve >"$workdir/serve" 2>&1 &
service=$!
trap 'kill "$service"' EXIT
for _ in $(seq 600); do
  grep -q serving "$workdir/serve" && break
  sleep 0.05
done
timeout 60 "$workdir/readme" | tee "$workdir/output"
grep -q '^process [0-9]* says: hello, group$' "$workdir/output"
