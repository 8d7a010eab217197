#!/usr/bin/env bash
# Tests scripts/with-corosync. Needs root; exits with 77 without, like the script.
set -uo pipefail
with_corosync=$(readlink -f "$(dirname "$0")/../../scripts/with-corosync")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/expect.sh"

within() {  # seconds, command...: repeats the command until it succeeds
  local tries=$(($1 * 50))
  shift
  until "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep 0.02
  done
}

# Counts processes on this machine whose command line contains the marker; grep itself reads it from a file.
marked() { grep -lsaF -f "$work/marker" /proc/[0-9]*/cmdline | wc -l; }
none_marked() { [ "$(marked)" = 0 ]; }

if [ "$(id -u)" != 0 ]; then
  "$with_corosync" -- true
  exit
fi

expect "arguments, input and output are passed on" "a b|in" "$(echo in | "$with_corosync" -- sh -c 'printf "%s|" "$1"; cat' sh 'a b')"
"$with_corosync" -- sh -c 'exit 42'
expect "the exit status is passed on" 42 $?
"$with_corosync" -- sh -c 'kill -SEGV $$' 2>/dev/null
expect "a crash is passed on" 139 $?
setpriv --reuid 65534 --regid 65534 --clear-groups "$with_corosync" -- true 2>"$work/text"
expect "it needs root" 77 $?
expect "and says that it needs root" 1 "$(grep -c 'needs root' "$work/text")"
"$with_corosync" --keep-log "$work/log" -- true
expect "the log is kept" 1 "$(grep -c 'ready to provide service' "$work/log")"

mkdir "$work/bin"
printf '#!/bin/sh\necho "no, I will not"\nexit 9\n' >"$work/bin/corosync"
chmod 755 "$work/bin/corosync"
PATH=$work/bin:$PATH "$with_corosync" -- true 2>"$work/text"
expect "a daemon that does not start is an error" 70 $?
expect "with the daemon's output" 1 "$(grep -c 'no, I will not' "$work/text")"

cat >"$work/inside" <<'INSIDE'
set -u
control=$COROSYNC_CONTROL
answers() { timeout "$1" corosync-cpgtool >/dev/null 2>&1 && echo yes || echo no; }
echo "comm $(cat /proc/$COROSYNC_PID/comm)"
echo "up $(answers 5)"
$control stop
echo "stopped $(answers 0.3)"
$control cont
echo "going on $(answers 5)"
$control kill
echo "killed $(answers 5)"
$control start
echo "again $(answers 5)"
[ "$($control pid)" != "$COROSYNC_PID" ] && echo "another process"
$control start 2>/dev/null
echo "twice $?"
$control stop
$control term
echo "ended $(answers 5)"
$control dance 2>/dev/null
echo "unknown verb $?"
INSIDE
expect "the command controls the daemon" "comm corosync
up yes
stopped no
going on yes
killed no
again yes
another process
twice 64
ended no
unknown verb 64" "$("$with_corosync" -- bash "$work/inside")"

marker=with-corosync-test-$$-$RANDOM
echo $marker >"$work/marker"
"$with_corosync" -- sh -c 'trap "echo told; exit" TERM; : >"$2"; while :; do sleep 0.1; done' "$marker" "$marker" "$work/started" >"$work/text" &
script=$!
within 20 test -e "$work/started"
expect "the daemon's socket is not visible outside" 0 "$(grep -c '@cpg$' /proc/net/unix)"
kill -TERM $script
wait $script
expect "SIGTERM ends it" 143 $?
expect "SIGTERM is passed on to the command" told "$(cat "$work/text")"
within 10 none_marked
expect "SIGTERM leaves no process" 0 "$(marked)"

rm "$work/started"
"$with_corosync" -- sh -c ': >"$2"; while :; do sleep 0.1; done' "$marker" "$marker" "$work/started" &
script=$!
within 20 test -e "$work/started"
expect "the command runs" yes "$([ "$(marked)" -gt 0 ] && echo yes)"
disown
kill -KILL $script
within 10 none_marked
expect "SIGKILL leaves no process" 0 "$(marked)"

[ $failures = 0 ]
