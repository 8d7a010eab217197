#!/usr/bin/env python3
"""Reads CTest's results for the presets of one test run, and prints the summary with which scripts/test ends.

tally.py ALLOWED_SKIPS SECONDS_FILE PRESET=RESULTS.xml ...
SECONDS_FILE has a line "PRESET PART SECONDS" for each part that is not a test (configuring, building).

Exits with 1 if something failed. As root a skipped test counts as failed unless ALLOWED_SKIPS names it, with a reason.
"""

import collections
import fnmatch
import os
import sys
import xml.etree.ElementTree as tree


def allowed_skips(file):
    """Pattern -> reason."""
    rules = {}
    for line in open(file, encoding="utf-8"):
        if line.strip() and not line.startswith("#"):
            pattern, reason = line.split(None, 1)
            rules[pattern] = reason.strip()
    return rules


def main(skips, seconds, *results):
    rules, root = allowed_skips(skips), os.geteuid() == 0
    passed, failed, skipped = 0, [], []
    parts, slowest = collections.Counter(), []
    for line in open(seconds, encoding="utf-8"):
        preset, part, took = line.split()
        parts[f"{preset}: {part}"] += float(took)
        if part == "failed":
            failed.append((preset, "the build, or CTest itself", 0, ["see above"]))
    for one in results:
        preset, file = one.split("=", 1)
        for case in tree.parse(file).getroot().findall("testcase"):
            name, took = case.get("name"), float(case.get("time") or 0)
            said = (case.findtext("system-out") or "").splitlines()
            parts[f"{preset}: {name.split('/')[0]}"] += took
            slowest.append((took, preset, name))
            if case.get("status") == "run":
                passed += 1
            elif case.get("status") == "fail":
                failed.append((preset, name, took, said))
            else:
                reason = next((why for pattern, why in rules.items() if fnmatch.fnmatch(name, pattern)), None)
                skipped.append((preset, name, reason))
                if root and reason is None:
                    failed.append((preset, name, took, ["It was skipped; tests/allowed_skips does not name it."] + said))
    print("\nseconds of each part; tests run three at a time:")
    for part, took in parts.most_common(16):
        if not part.endswith(": failed"):
            print(f"  {took:7.0f}  {part}")
    print("the slowest tests:")
    for took, preset, name in sorted(slowest, reverse=True)[:10]:
        print(f"  {took:7.1f}  {preset}: {name.split('  #')[0]}")
    for preset, name, reason in skipped:
        print(f"skipped in {preset}: {name}" + (f" ({reason})" if reason else ""))
    for preset, name, took, said in failed:
        print(f"== failed in {preset}: {name}, after {took:.1f} s; the end of its output:")
        print(*said[-40:], sep="\n")
    if skipped and not root:
        print("tests against stock corosync need root")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
