#!/bin/sh
# command.sh PROGRAM: the installed command offers only what is installed with it.
set -eu
program=$1
"$program" --version
if "$program" --help | grep -q bench; then
  echo "command.sh: --help speaks of benchmarks, which are not installed" >&2
  exit 1
fi
status=0
"$program" bench pingpong 2>/dev/null || status=$?
if [ "$status" -ne 2 ]; then
  echo "command.sh: 'bench' ended with $status, not as a subcommand that is not there" >&2
  exit 1
fi
