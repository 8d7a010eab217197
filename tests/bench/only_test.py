#!/usr/bin/python3
"""--only runs the named cases and opens no handle for the others. Usage, inside scripts/with-embedded: only_test.py CPGRING-BENCH"""

import pathlib
import re
import subprocess
import sys
import tempfile


def check(holds, what):
    if not holds:
        sys.exit(f"only_test: {what}")


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **more)
    return done.returncode, done.stdout, done.stderr


def main():
    bench = pathlib.Path(sys.argv[1])
    status, usage, _ = run(bench, "--help")
    check(status == 0, "--help failed")
    suites = [name for name in re.findall(r"^  (\w+) +\S", usage[usage.index("Subcommands:") :], re.MULTILINE) if name != "serve"]
    check("pingpong" in suites and len(suites) >= 9, f"not all suites are listed: {suites}")
    for suite in suites:
        # No service has this name: a suite that opened a handle would fail instead of finding no case.
        status, out, error = run(bench, suite, "--service", "cpgring-nobody-home", "--only", "no such case")
        check((status, out, error) == (2, "", f"cpgring-bench: {suite}: no case has 'no such case' in its name\n"), f"{suite}: {status} {out} {error}")

    with tempfile.TemporaryDirectory() as folder:
        status, out, error = run(bench, "pingpong", "--quick", "--repetitions", "1", "--only", "block against ONE", "--out", folder)
        check(status == 0, f"pingpong: {status} {error}")
        cases = re.findall(r"^# pingpong \| (.*?):", out, re.MULTILINE)
        check(cases == [f"block against ONE, {what}" for what in ("p50", "p99", "CPU")], f"these cases ran: {cases}")
        files = sorted(file.name for file in pathlib.Path(folder).glob("*.hgrm"))
        check(files == ["pingpong-ONE.hgrm", "pingpong-block.hgrm"], f"these sides ran: {files}")

    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([bench, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        check((done.returncode, done.stderr) == (1, "cpgring-bench: standard output: No space left on device\n"), f"{done}")
    for wrong in (["--rate", "-5"], ["--handles", "1,-5"], ["--repetitions", "0"], ["--rate", "nan"]):
        status, out, error = run(bench, "openloop", *wrong)
        check(status == 2 and wrong[0] in error and len(error) < 250, f"{wrong}: {status} {error}")


if __name__ == "__main__":
    main()
