#!/usr/bin/env bash
# Pacemaker on our libcpg.so.4: its daemons map our library and not the stock one, form a cluster of one node, and start and stop a
# resource. Usage: pacemaker.sh LIBRARY_DIRECTORY, under scripts/with-corosync. Exits 77 if Pacemaker is not installed.
set -euo pipefail
library=$(readlink -f "$1")
daemons=(pacemakerd pacemaker-based pacemaker-fenced pacemaker-execd pacemaker-attrd pacemaker-schedulerd pacemaker-controld)
# These use CPG themselves; the other two do not.
members=(pacemakerd pacemaker-based pacemaker-fenced pacemaker-attrd pacemaker-controld)
for tool in pacemakerd crm_mon cibadmin crm_attribute crm_resource; do
  command -v $tool >/dev/null || { echo "pacemaker.sh: $tool is not installed" >&2; exit 77; }
done
[ -e /usr/lib/ocf/resource.d/pacemaker/Dummy ] || { echo "pacemaker.sh: the agent ocf:pacemaker:Dummy is not installed" >&2; exit 77; }
[ -n "${COROSYNC_PID:-}" ] || { echo "pacemaker.sh: to be run under scripts/with-corosync" >&2; exit 64; }

# The mounts stay in this namespace: a cluster of the machine itself is not affected.
for directory in /var/lib/pacemaker /var/log/pacemaker; do
  mount -t tmpfs -o mode=755 private $directory
done
for directory in /var/lib/pacemaker/{cib,pengine,cores,blackbox} /run/crm; do
  install -d -o hacluster -g haclient -m 750 $directory
done
install -d -o hacluster -g haclient -m 770 /var/log/pacemaker
export PCMK_logfile=/var/log/pacemaker/log PCMK_logfacility=none

until_seconds() {  # seconds, command...
  local tries=$(($1 * 5))
  shift
  until "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep 0.2
  done
}
failed() {
  echo "pacemaker.sh: $1; the end of Pacemaker's log:" >&2
  tail -n 60 $PCMK_logfile >&2 || true
  exit 1
}
shows() { timeout 5 crm_mon -1r 2>/dev/null | grep -E "$1" >/dev/null; }
lives() { [ -r "/proc/$1/stat" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status"; }
ended() { ! lives "$pacemaker"; }
pid_of() { pgrep -x -P "$pacemaker" "${1:0:15}"; }  # the kernel keeps 15 characters of a name

LD_LIBRARY_PATH=$library pacemakerd -f >/dev/null 2>&1 &
pacemaker=$!
until_seconds 60 shows 'Online: \[ local \]' || failed "the node is not online"
crm_mon -1 | grep -E 'Stack|Current DC|Online'

for name in "${daemons[@]}"; do
  pid=$pacemaker
  [ "$name" = pacemakerd ] || pid=$(pid_of "$name") || failed "$name does not run"
  mapped=$(awk '$6 ~ /libcpg\.so/ {print $6}' "/proc/$pid/maps" | sort -u)
  echo "$name (process $pid): ${mapped:-no libcpg}"
  case " ${members[*]} " in
    *" $name "*) [ "$mapped" = "$(readlink -f "$library/libcpg.so.4")" ] || failed "$name is not on our libcpg alone" ;;
  esac
done

crm_attribute --type crm_config --name stonith-enabled --update false
cibadmin --create --scope resources --xml-text '<primitive id="dummy" class="ocf" provider="pacemaker" type="Dummy"/>'
until_seconds 30 shows 'dummy.*Started local' || failed "the resource is not started"
crm_mon -1r | grep dummy
[ -e /run/Dummy-dummy.state ] || failed "the resource's agent has not run"
crm_resource --resource dummy --meta --set-parameter target-role --parameter-value Stopped >/dev/null
until_seconds 30 shows 'dummy.*Stopped' || failed "the resource is not stopped"
crm_mon -1r | grep dummy
[ ! -e /run/Dummy-dummy.state ] || failed "the resource's agent was not stopped"

kill -TERM "$pacemaker"
until_seconds 60 ended || failed "Pacemaker does not end"
wait "$pacemaker" || failed "Pacemaker ended with exit code $?"
! grep -E 'error: .*(CPG|cpg)|Corosync.*(lost|exit)|crashed|core dumped' $PCMK_logfile || failed "the log has errors"
[ -z "$(corosync-cpgtool | awk 'NR > 1 && /^crmd|^cib|^attrd|^stonith|^pcmk|^pacemaker/')" ] || failed "a member is still in its group"
echo "Pacemaker $(pacemakerd --version | awk 'NR == 1 {print $2}'): started, online, a resource started and stopped, ended"
