#!/usr/bin/env bash
# Builds each fuzz target with Clang and sanitizers, and runs it for a while from its seeds. Exit code 1: a finding, which is kept; 77: no
# Clang.
#
#   tests/fuzz/run.sh [SECONDS [TARGET...]]            20 s each, one after the other
#   tests/fuzz/run.sh --build [TARGET...]              only builds
#   tests/fuzz/run.sh --built SECONDS [TARGET...]      only runs
set -euo pipefail
cd "$(dirname "$0")/../.."
building=yes running=yes
case ${1:-} in
  --build) running=no; shift ;;
  --built) building=no; shift ;;
esac
seconds=20
if [ $running = yes ]; then
  seconds=${1:-20}
  shift || true
fi
targets=("$@")
[ ${#targets[@]} -ne 0 ] || targets=(ring_reader handshake codec pack service_request)
clang=${CLANGXX:-clang++}
command -v "$clang" >/dev/null || { echo "no $clang here" >&2; exit 77; }
build=build/fuzz

layers=(base ipc cpg channel service)  # used by the targets

build_targets() {  # one compilation per layer and target; two at a time
  local compiler=("$clang") sources=() source layer target
  ! command -v ccache >/dev/null || compiler=(ccache "$clang")
  rm -rf $build/objects
  mkdir -p $build/objects
  for layer in "${layers[@]}"; do
    for source in engine/"$layer"/*.cpp; do
      echo "#include \"${source#engine/}\""
    done >$build/objects/engine_"$layer".cpp
    sources+=($build/objects/engine_"$layer".cpp)
  done
  sources+=(tests/fuzz/fake_qb_server.cpp)
  for target in "${targets[@]}"; do
    sources+=("tests/fuzz/${target}_fuzz.cpp")
  done
  printf '%s\n' "${sources[@]}" | xargs -P2 -I{} sh -c '
    source=$1; object=$2/objects/$(basename "$1").o; shift 2
    exec "$@" -std=c++20 -O1 -g1 -Wall -Wextra -Wpedantic -Wconversion -Werror -fsanitize=fuzzer-no-link,address,undefined \
      -fno-sanitize-recover=all -Iinclude -Iengine -Itests -pthread -c "$source" -o "$object"' sh {} $build "${compiler[@]}"
  for target in "${targets[@]}"; do
    local qb=-lqb
    [ "$target" != service_request ] || qb=$build/objects/fake_qb_server.cpp.o
    "$clang" -fsanitize=fuzzer,address,undefined -pthread -o "$build/$target" $build/objects/engine_*.o \
        "$build/objects/${target}_fuzz.cpp.o" "$qb" -luring -lfmt
  done
}

found=0
run_target() {
  local target=$1 pid
  mkdir -p "$build/$target.corpus" "$build/$target.findings"
  # libFuzzer writes new inputs to the first folder and only reads the seeds.
  "$build/$target" -max_total_time="$seconds" -timeout=10 -max_len=16384 -print_final_stats=1 -artifact_prefix="$build/$target.findings/" \
      "$build/$target.corpus" "tests/fuzz/seeds/$target" >"$build/$target.log" 2>&1 &
  pid=$!
  if wait $pid; then
    echo "$target: nothing found in $(grep -oP 'number_of_executed_units:\s*\K\d+' "$build/$target.log") runs"
  else
    found=1
    rm -f /dev/shm/cpgring-test-*-$pid-*  # left by the aborted process
    echo "$target: a finding, kept in $build/$target.findings; the end of $build/$target.log:"
    grep -vE '^#[0-9]+\s+(NEW|REDUCE|pulse|RELOAD)' "$build/$target.log" | tail -40
  fi
}

[ $building = no ] || build_targets
if [ $running = yes ]; then
  for target in "${targets[@]}"; do
    run_target "$target"
  done
fi
exit $found
