#!/usr/bin/env bash
# Runs the consumers built in a folder, and checks which libraries the client loads. Usage: run.sh FOLDER shared|static
set -euo pipefail
folder=$1 kind=$2
for program in consumer service testing; do
  timeout 60 "$folder/$program" || { echo "$program ended with $?" >&2; exit 1; }
done
if ldd "$folder/consumer" | grep -E 'libqb|libsystemd|liblzma|libzstd|liblz4|not found'; then
  echo "the client loads a library that only a service needs" >&2
  exit 1
fi
for program in consumer service testing; do
  if [ "$kind" = static ] && ldd "$folder/$program" | grep libcpgring; then
    echo "the static $program needs a shared library" >&2
    exit 1
  fi
done
