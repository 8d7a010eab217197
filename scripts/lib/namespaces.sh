# Functions for scripts that run a command with private daemons in new network, mount and process namespaces. Sourced; `name` and `self`
# must be set. Nothing outside sees what runs there, and nothing of it outlives the script, even if that is killed with SIGKILL: when
# process 1 of the namespace ends, so do all others.

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$self" >&2; exit 64; }
fail() { echo "$name: $2" >&2; exit "$1"; }

wait_until() {  # seconds, what went wrong otherwise, command...
  local tries=$(($1 * 50)) what=$2
  shift 2
  while ! "$@"; do
    tries=$((tries - 1))
    if [ $tries -le 0 ]; then
      echo "$name: $what" >&2
      return 1
    fi
    sleep 0.02
  done
}

# A zombie does not count as living: its sockets and memory are gone. It does count while one of its threads is still ending, because it
# still holds its files and their locks.
lives() {
  [ -n "$1" ] && { grep -h '^State:' /proc/"$1"/task/*/status 2>/dev/null || true; } | grep -v '^State:[[:space:]]*[ZX]' >/dev/null
}
gone() { ! lives "$1"; }

# Call it in a subshell before an exec: the caller's other descriptors must not stay open in a daemon.
close_descriptors() {
  local fd
  for fd in /proc/"$BASHPID"/fd/*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"
  done
}

raise_descriptor_limit() {  # thousands of handles need as many descriptors here and in the daemon
  ulimit -Hn 65536 2>/dev/null || true
  ulimit -Sn "$(ulimit -Hn)"
}

# ---- inside: the command ----

run_command() {
  local command status=0
  # A shell makes its background jobs ignore SIGINT. The command must get it as if it had been started directly.
  env --default-signal=INT,QUIT -- "$@" <&0 &
  command=$!
  trap 'kill -TERM $command 2>/dev/null' TERM
  trap : INT HUP
  # wait returns early when a signal was handled.
  while :; do
    status=0
    wait $command || status=$?
    [ -d /proc/$command ] || break
  done
  exit $status  # the end of process 1 of the namespace ends all others
}

# ---- outside: make the namespaces, pass signals on, clean up ----

need() {  # programs...
  local tool
  [ "$(id -u)" = 0 ] || fail 77 "needs root to create namespaces and to run corosync in them. Try: sudo $0 ..."
  for tool in "$@" corosync corosync-cpgtool unshare setpriv ip; do
    command -v "$tool" >/dev/null || fail 77 "$tool is not installed; run scripts/deps --test"
  done
}

run_inside() {  # arguments for the script itself, as process 1 of new namespaces
  local namespaces=(unshare --net --mount --propagation private --pid --mount-proc --fork --kill-child=KILL) status=0
  "${namespaces[@]}" true 2>/dev/null || fail 77 "this machine refuses new namespaces even to root (a container without --privileged?)"

  # setpriv: when this script dies, so does unshare, and with it process 1 inside and all other processes there.
  setpriv --pdeathsig KILL -- "${namespaces[@]}" -- env --default-signal=INT,QUIT -- "$self" --inside "$@" <&0 &
  unshare=$!
  trap 'end 143 0' TERM
  trap 'end 129 0' HUP
  trap 'end 130 2' INT  # a terminal sends it to the command too
  wait $unshare || status=$?
  exit $status
}

ends_within() {  # seconds
  local tries=$(($1 * 50))
  while [ -d /proc/$unshare ] && ! grep -q '^State:[[:space:]]*Z' /proc/$unshare/status 2>/dev/null; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep 0.02
  done
}

end() {  # exit status, seconds that the command has to end by itself
  trap '' TERM HUP
  local inner
  if ! ends_within "$2"; then
    read -r inner _ <"/proc/$unshare/task/$unshare/children" || true
    [ -z "${inner:-}" ] || kill -TERM "$inner" 2>/dev/null || true
    ends_within 5 || kill -KILL $unshare 2>/dev/null || true
  fi
  exit "$1"
}
