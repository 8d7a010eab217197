# Shared by the model tests. Sourced by *.test.sh, each of which runs in its own folder.
set -eu
models=$(dirname "$0")

# holds|fails WHAT MODEL [-DMACRO ...]: a complete search must find no error (holds), or at least one (fails).
check() {
  expected=$1 what=$2 model=$3
  shift 3
  rm -f pan pan.? ./*.trail
  spin -a "$@" "$models/$model" >spin.out 2>&1 || { cat spin.out; echo "$model: spin can't read it"; exit 1; }
  gcc -O2 -w -DMEMLIM=2048 -DSAFETY -o pan pan.c
  ./pan -m200000 >pan.out 2>&1 || true
  if grep -Eq 'max search depth too small|out of memory|search not completed' pan.out && [ "$expected" = holds ]; then
    cat pan.out
    echo "$model: $what: the search is not complete"
    exit 1
  fi
  errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.out)
  states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' pan.out)
  [ -n "$errors" ] || { cat pan.out; echo "$model: $what: no answer"; exit 1; }
  case $expected:$errors in
    holds:0) echo "$model: $what: holds, $states states" ;;
    holds:*) cat pan.out; echo "$model: $what: should hold, but $(sed -n 's/^pan:[0-9]*: *//p' pan.out | head -n 1)"; exit 1 ;;
    fails:0) cat pan.out; echo "$model: $what: should be found faulty, but holds"; exit 1 ;;
    fails:*) echo "$model: $what: found faulty: $(sed -n 's/^pan:[0-9]*: *//p' pan.out | head -n 1)" ;;
  esac
}
holds() { check holds "$@"; }
fails() { check fails "$@"; }
