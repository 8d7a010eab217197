#!/usr/bin/env python3
"""Runs every case of the program `conformance` on stock libcpg and on ours, and compares the output.

    conformance.py PROGRAM LIBRARY_DIRECTORY [--serve CPGRING] [--only PREFIX] [-v]

A difference that expected_differences.py does not list with its reason is a failure, and so is a listed difference that no longer exists.
With --serve the service is an embedded one, and the cases that kill or stop it run too.
"""
import argparse
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from expected_differences import DIFFERENCES, DIFFERENCES_ON

# Distinguishes calls that hang from calls that wait: ours time out at the deadline below.
PATIENCE_S = 10
DEADLINE_MS = 700
# With this word in CPGRING_LIBCPG_STOCK these cases behave as in stock libcpg.
SWITCHES = {"unjoined-send": ["send/not_joined", "leave/then_send"], "leave-name": ["leave/another_groups_name"]}
# With this environment cpg_initialize returns CS_ERR_INVALID_PARAM.
REFUSED = [{"CPGRING_LIBCPG_STOCK": "no-such-quirk"}, {"CPGRING_LIBCPG_DEADLINE_MS": "soon"}, {"CPGRING_LIBCPG_DEADLINE_MS": "-1"},
           {"CPGRING_LIBCPG_SERVICE_UID": "nobody"}, {"CPGRING_LIBCPG_SERVICE_UID": "4294967295"}]
NEEDS_ITS_OWN_SERVICE = ("gone/", "stopped/", "zcb/of_a_foreign_buffer")


def serve(cpgring):
    process = subprocess.Popen([cpgring, "serve", "--name", "cpg"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = process.stdout.readline()
    if not line.startswith("serving"):
        sys.exit(f"conformance.py: {cpgring} serve said {line!r}")
    return process


def end(process):
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def run(program, case, library, service, **more):
    environment = dict(os.environ, CPGRING_LIBCPG_DEADLINE_MS=str(DEADLINE_MS)) | more
    environment.pop("LD_LIBRARY_PATH", None)
    if library:
        environment["LD_LIBRARY_PATH"] = library
    if service:
        environment["CONFORMANCE_SERVICE_PID"] = str(service.pid)
    process = subprocess.Popen([program, case], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True,
                               start_new_session=True)
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        return said + "HANGS\n"
    if process.returncode < 0:
        said += f"KILLED BY {signal.Signals(-process.returncode).name}\n"
    elif process.returncode != 0:
        said += f"EXIT {process.returncode}\n"
    return said


def lines_beside(stock, ours):
    left, right = stock.splitlines(), ours.splitlines()
    for i in range(max(len(left), len(right))):
        a = left[i] if i < len(left) else ""
        b = right[i] if i < len(right) else ""
        yield f"      {' ' if a == b else '|'} {a:<60.60} {b:.70}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("library")
    parser.add_argument("--serve")
    parser.add_argument("--only", default="")
    parser.add_argument("--sanitized", action="store_true", help="leave out the cases that depend on the stack size of a thread")
    parser.add_argument("-v", action="store_true")
    o = parser.parse_args()
    cases = [c for c in subprocess.run([o.program, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split() if
             c.startswith(o.only)]
    if o.sanitized:
        cases = [c for c in cases if not c.startswith("dispatch/on_a_stack_of")]
    differences = DIFFERENCES | DIFFERENCES_ON["embedded" if o.serve else "corosync"]
    unknown = [c for c in differences if not o.only and not o.sanitized and c not in cases]
    if unknown:
        sys.exit(f"conformance.py: expected_differences.py names cases that do not exist: {unknown}")
    if not o.serve:
        own = [c for c in cases if c.startswith(NEEDS_ITS_OWN_SERVICE)]
        cases = [c for c in cases if c not in own]
        print(f"{len(own)} cases stop the service and run only on an embedded one")
    shared = [c for c in cases if not c.startswith(NEEDS_ITS_OWN_SERVICE)]
    service = serve(o.serve) if o.serve and shared else None

    def both(case):
        return case, run(o.program, case, None, None), run(o.program, case, o.library, None)

    def both_alone(case):
        said = []
        for library in (None, o.library):
            own = serve(o.serve)
            said.append(run(o.program, case, library, own))
            end(own)
        return (case, *said)

    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(both, shared))
    switched = []
    if not o.only:
        answers = {case: stock for case, stock, _ in results}
        for word, names in SWITCHES.items():
            switched += [(f"{case} with {word}", answers[case], run(o.program, case, o.library, None, CPGRING_LIBCPG_STOCK=word))
                         for case in names]
        switched += [(f"initialize with {more}", "7\n", run(o.program, "initialize/model_without_data", o.library, None, **more).split("context")[0])
                     for more in REFUSED]
    end(service)
    results += [both_alone(c) for c in cases if c not in shared]

    same, expected, wrong = [], [], []
    for case, stock, ours in results:
        if stock == ours and case not in differences:
            same.append(case)
        elif stock == ours or case not in differences or "HANGS" in ours or "KILLED" in ours:
            wrong.append((case, stock, ours))
        else:
            expected.append((case, stock, ours))
    wrong += [one for one in switched if one[1] != one[2]]
    for case, stock, ours in expected:
        print(f"differs as expected: {case}\n      {differences[case]}")
        print("\n".join(lines_beside(stock, ours)))
    if o.v:
        for case, stock, _ in results:
            if case in same:
                print(f"same: {case}\n" + "\n".join("        " + line for line in stock.splitlines()))
    for case, stock, ours in wrong:
        why = "no longer differs; remove it from expected_differences.py" if stock == ours else "WRONG"
        print(f"{why}: {case}      (stock on the left)")
        print("\n".join(lines_beside(stock, ours)))
    groups = sorted({c.split("/")[0] for c, _, _ in results})
    print(f"\n{'':<14}{'cases':>7}{'same':>7}{'differ':>8}{'wrong':>7}")
    for g in groups:
        count = [sum(1 for c in these if (c if isinstance(c, str) else c[0]).split("/")[0] == g) for these in (results, same, expected, wrong)]
        print(f"{g:<14}{count[0]:>7}{count[1]:>7}{count[2]:>8}{count[3]:>7}")
    print(f"{'all':<14}{len(results):>7}{len(same):>7}{len(expected):>8}{len(wrong):>7}   in {time.monotonic() - began:.0f} s")
    print(f"switches of the environment: {sum(one[1] == one[2] for one in switched)} of {len(switched)} as documented")
    sys.exit(1 if wrong or not results else 0)


if __name__ == "__main__":
    main()
