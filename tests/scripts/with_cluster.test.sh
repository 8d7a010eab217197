#!/usr/bin/env bash
# Tests scripts/with-cluster. Needs root; exits with 77 without, like the script.
set -uo pipefail
with_cluster=$(readlink -f "$(dirname "$0")/../../scripts/with-cluster")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/expect.sh"

if [ "$(id -u)" != 0 ]; then
  "$with_cluster" -- true
  exit
fi

"$with_cluster" --nodes 0 -- true 2>/dev/null
expect "--nodes 0 is refused" 64 $?
"$with_cluster" --dance -- true 2>/dev/null
expect "an unknown option is refused" 64 $?

cat >"$work/inside" <<'INSIDE'
set -u
control=$CLUSTER_CONTROL
nodes() { $control exec "$1" timeout 5 corosync-quorumtool -s 2>/dev/null | sed -n 's/^Nodes: *//p'; }
quorate() { $control exec "$1" timeout 5 corosync-quorumtool -s 2>/dev/null | sed -n 's/^Quorate: *//p'; }
echo "$CLUSTER_NODES nodes, the second sees $(nodes 2), quorate $(quorate 2)"
echo "cipher $($control exec 1 corosync-cmapctl totem.crypto_cipher | sed 's/.*= //')"
echo "no service outside the nodes: $(timeout 5 corosync-cpgtool >/dev/null 2>&1; echo $?)"
$control kill 3
$control wait 2
echo "after a kill $(nodes 1)"
before=$($control pid 3)
$control start 3
$control wait 3
echo "after a start $(nodes 1), another process: $([ "$before" != "$($control pid 3)" ] && echo yes)"
$control cut 1
until [ "$(nodes 2)" = 2 ]; do sleep 0.1; done
echo "cut off: $(nodes 1), quorate $(quorate 1); the others: $(nodes 3), quorate $(quorate 3)"
$control heal 1
$control wait 3
echo "healed $(nodes 1)"
$control start 2 2>/dev/null
echo "twice $?"
$control exec 4 true 2>/dev/null
echo "no such node $?"
$control dance 2>/dev/null
echo "unknown verb $?"
exit 42
INSIDE
expect "the command controls the nodes" "3 nodes, the second sees 3, quorate Yes
cipher aes256
no service outside the nodes: 1
after a kill 2
after a start 3, another process: yes
cut off: 1, quorate No; the others: 2, quorate Yes
healed 3
twice 64
no such node 64
unknown verb 64" "$(timeout 200 "$with_cluster" --crypto --keep-logs "$work/logs" -- bash "$work/inside"; echo $? >"$work/status")"
expect "the exit status is passed on" 42 "$(cat "$work/status")"
expect "the logs are kept" 3 "$(grep -l 'ready to provide service' "$work"/logs/node*.log | wc -l)"

# SIGKILL leaves the script no time to clean up: its processes end with it all the same.
marker=with-cluster-test-$$-$RANDOM
echo "$marker" >"$work/marker"
"$with_cluster" --nodes 2 -- sh -c "echo up >'$work/up'; exec sleep 1000 # $marker" &
script=$!
for _ in $(seq 1 1500); do [ -e "$work/up" ] && break; sleep 0.02; done
expect "the command runs" up "$(cat "$work/up" 2>/dev/null)"
inner=$(cat /proc/$script/task/$script/children 2>/dev/null | tr -d ' ')
namespace=$(readlink "/proc/$(cat /proc/"$inner"/task/"$inner"/children | tr -d ' ')/ns/pid")
kill -KILL $script
wait $script 2>/dev/null
of_the_namespace() { readlink /proc/[0-9]*/ns/pid 2>/dev/null | grep -cF "$namespace"; }
for _ in $(seq 1 500); do [ "$(of_the_namespace)" = 0 ] && break; sleep 0.02; done
expect "no process is left" 0 "$(of_the_namespace)"

[ $failures = 0 ] && echo "with-cluster: all checks passed"
exit $((failures > 0))
