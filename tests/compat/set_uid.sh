#!/usr/bin/env bash
# A set-uid program ignores its caller's environment. Usage: set_uid.sh PROGRAM, linked with our libcpg.so.4.
set -euo pipefail
program=$1
[ "$(id -u)" = 0 ] || { echo "set_uid.sh: only root can make a set-uid copy" >&2; exit 77; }
command -v setpriv >/dev/null || { echo "set_uid.sh: no setpriv here" >&2; exit 77; }
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
chmod 755 "$directory"
cp "$program" "$directory/plain"
cp "$program" "$directory/set_uid"
chmod 755 "$directory/plain"
chmod 4755 "$directory/set_uid"
export CPGRING_LIBCPG_DEADLINE_MS=nonsense # CS_ERR_INVALID_PARAM if it is read
said=$(setpriv --reuid=65534 --regid=65534 --clear-groups "$directory/plain") || { echo "set_uid.sh: uid 65534 can't run the program" >&2; exit 77; }
[ "$said" = 7 ] || { echo "a plain program: $said, not 7" >&2; exit 1; }
said=$(setpriv --reuid=65534 --regid=65534 --clear-groups "$directory/set_uid")
[ "$said" != 7 ] || { echo "a set-uid program reads its caller's environment" >&2; exit 1; }
echo "set-uid: $said"
