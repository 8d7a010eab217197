#!/usr/bin/env bash
# Runs an example and compares its output with the indented lines of its first comment. Usage: example.sh SOURCE PROGRAM
set -euo pipefail
source=$1 program=$2
expected=$(awk '!/^\/\// { exit } /^\/\/   / { print substr($0, 6) }' "$source")
[ -n "$expected" ] || { echo "the first comment of $source has no expected output" >&2; exit 1; }
diff <(printf '%s\n' "$expected") <(timeout 60 "$program")
