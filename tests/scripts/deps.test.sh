#!/usr/bin/env bash
# scripts/deps with fake dpkg and apt: it installs exactly the missing packages, and calls nothing if none is missing.
set -uo pipefail
deps=$(readlink -f "$(dirname "$0")/../../scripts/deps")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
. "$(dirname "$0")/expect.sh"

cat >"$work/bin/dpkg-query" <<PRETENDED
#!/bin/sh
for package; do :; done
grep -qx "\$package" $work/missing || printf 'ii '
PRETENDED
cat >"$work/bin/apt-get" <<PRETENDED
#!/bin/sh
echo "\$DEBIAN_FRONTEND \$* \$(test -x /usr/sbin/policy-rc.d && echo guarded)" >>$work/calls
: >$work/missing
PRETENDED
printf '#!/bin/sh\necho "$USER_ID"\n' >"$work/bin/id"
chmod 755 "$work"/bin/*
export PATH=$work/bin:$PATH
calls() { cat "$work/calls" 2>/dev/null; }

: >"$work/missing"
expect "no output if nothing is missing, without root" "" "$(USER_ID=1000 "$deps" 2>&1)"
expect "apt is not called" "" "$(calls)"

expect "a set lists no packages of other sets" "0 1" "$("$deps" --run --list | grep -cx spin) $("$deps" --test --list | grep -cx spin)"
expect "the default is run, test and bench" "$("$deps" --run --test --bench --list)" "$("$deps" --list)"
expect "each package is listed once" "" "$("$deps" --all --list | sort | uniq -d)"
"$deps" --nonsense 2>/dev/null
expect "an unknown option is refused" 64 $?

echo spin >"$work/missing"
expect "packages missing from another set are ignored" "" "$(USER_ID=1000 "$deps" --run --bench 2>&1)"
mkdir "$work/nosudo"
for tool in bash sed grep id dpkg-query readlink; do ln -s "$(command -v $tool)" "$work/nosudo/$tool"; done
output=$(USER_ID=1000 PATH=$work/nosudo "$deps" 2>&1)
expect "without root and sudo it fails" 1 $?
expect "and prints the command to run" 1 "$(grep -c 'apt-get install.* spin$' <<<"$output")"

if [ -w /usr/sbin ]; then
  policy_before=$(cat /usr/sbin/policy-rc.d 2>/dev/null)
  USER_ID=0 "$deps" >/dev/null
  expect "root installs it" 0 $?
  expect "only that package, without questions, and no service is started" "noninteractive install -y -qq --no-install-recommends spin guarded" \
    "$(calls | tail -n 1)"
  expect "policy-rc.d is restored" "$policy_before" "$(cat /usr/sbin/policy-rc.d 2>/dev/null)"
fi

[ $failures = 0 ]
