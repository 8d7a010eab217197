#!/bin/sh
# The installed command offers only installed subcommands. Usage: command.sh PROGRAM
set -eu
program=$1
"$program" --version
if "$program" --help | grep -q bench; then
  echo "command.sh: --help names benchmarks, which are not installed" >&2
  exit 1
fi
status=0
"$program" bench pingpong 2>/dev/null || status=$?
if [ "$status" -ne 2 ]; then
  echo "command.sh: 'bench' ended with $status, not with 2 as an unknown subcommand" >&2
  exit 1
fi
