# Sourced by the tests of scripts.
failures=0

expect() {  # what, expected, got
  if [ "$2" != "$3" ]; then
    echo "FAILED: $1: expected '$2', got '$3'"
    failures=$((failures + 1))
  fi
}
