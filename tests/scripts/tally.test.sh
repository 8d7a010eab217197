#!/usr/bin/env bash
# scripts/lib/tally.py counts passed, failed and skipped tests; made-up results of CTest.
set -uo pipefail
tally=$(readlink -f "$(dirname "$0")/../../scripts/lib/tally.py")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/expect.sh"
result() { printf '<testsuite><testcase name="a/one" time="2.5" status="run"/><testcase name="b/two" time="1" status="%s"/></testsuite>' "$1" >"$work/$1.xml"; }
: >"$work/none"
printf 'b/* a reason\n' >"$work/allowed"
last() { "$tally" "$1" "$2" "p=$work/$3.xml" | tail -n 1; }

for status in run fail notrun; do result $status; done
expect "two passed tests" "2 passed, 0 failed" "$(last "$work/none" "$work/none" run)"
expect "one failed test" "1 passed, 1 failed" "$(last "$work/none" "$work/none" fail)"
"$tally" "$work/none" "$work/none" "p=$work/fail.xml" >/dev/null
expect "a failure gives exit code 1" 1 $?
expect "a skip with a reason" "1 passed, 0 failed" "$(last "$work/allowed" "$work/none" notrun)"
if [ "$(id -u)" = 0 ]; then
  expect "a skip without a reason" "1 passed, 1 failed" "$(last "$work/none" "$work/none" notrun)"
fi
printf 'p failed 3\n' >"$work/seconds"
expect "a preset that does not build" "2 passed, 1 failed" "$(last "$work/none" "$work/seconds" run)"

[ $failures = 0 ]
