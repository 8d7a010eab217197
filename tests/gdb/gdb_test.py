#!/usr/bin/env python3
"""scripts/gdb/cpgring.py on a live process and on its core: gdb_test.py CPGRING SUBJECT

CPGRING is the command, whose service the subject speaks to. Exits with 77 if gdb is not installed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts" / "gdb" / "cpgring.py"
COMMANDS = ("handles", "rings", "queues", "leases")
PATIENCE = 240
# Points the link and the group's name of handle 1 to where nothing is.
DAMAGE = ("core = handles_of(shards_at('')[0])[0][1]; place = f'((cpgring::runtime::handle_core*){int(core.address)})';"
          " gdb.execute(f'set var {place}->link_ = (cpgring::runtime::link*)4096');"
          " gdb.execute(f'set var *(void**)&{place}->group_ = (void*)4096')")  # fmt: skip
failures = 0


def expect(what, pattern, text):
    global failures
    if re.search(pattern, text, re.MULTILINE) is None:
        failures += 1
        print(f"FAILED: {what}\n  expected: {pattern}\n  in:\n{text}\n")


def gdb(*arguments, commands=()):
    """What gdb prints for these commands, each behind a line '== COMMAND'."""
    line = ["gdb", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-x", str(SCRIPT)]
    for command in commands:
        line += ["-ex", f"echo \\n== {command}\\n", "-ex", command]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    text = subprocess.run([*line, *arguments], **streams, text=True, errors="replace", timeout=PATIENCE).stdout
    expect("no command fails inside of Python", r"\A(?![\s\S]*(Traceback|Python Exception|Error occurred in Python))", text)
    return text


def output_of(command, text):
    return text.partition(f"\n== {command}\n")[2].partition("\n== ")[0]


def tables(text, live):
    """What all commands must print of the subject at its breakpoint."""
    handles = output_of("cpgring handles", text)
    expect("handles: the one in the group", r"^0 +1 +joined +live +looked-at$", handles)
    expect("handles: the one without", r"^0 +2 +ready +live +-$", handles)
    rings = output_of("cpgring rings", text)
    if live:
        expect("rings: two messages wait or are leased", r"^1 +event +263168 +\d+ +\d+ +[1-9]\d* +0 +0 +2$", rings)
        expect("rings: all of the idle handle", r"^2 +response +263168 +(\d+) +\1 +0 +0 +0 +0$", rings)
    else:
        expect("rings: those of the reader are in the core", r"^1 +event +263168 +\d+ +(\d+|<unavailable>) ", rings)
    expect("rings: six of two handles", r"^2 +request +263168 ", rings)
    queues = output_of("cpgring queues", text)
    expect("queues: one message is with the worker", r"^0 +0 +work +8192 +1 +0 +1$", queues)
    expect("queues: no call is with it", r"^0 +0 +express +4096 +0 +0 +0$", queues)
    leases = output_of("cpgring leases", text)
    expect("leases: one of handle 1", r"^1 +1 +145 +\d+$", leases)
    expect("leases: which is in the ring", r"^1 +1 +17 +1:\d+ +0 pins +\d+$", leases)


def main(cpgring, subject):
    if shutil.which("gdb") is None:
        print("gdb_test: skipped, because gdb is not installed; scripts/deps --test installs it")
        return 77
    service = f"cpgring-gdb-{os.getpid()}"
    plain = [f"cpgring {name}" for name in COMMANDS]
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen([cpgring, "serve", "--name", service], stdout=subprocess.PIPE, text=True) as serve:
        try:
            expect("the service runs", "serving", serve.stdout.readline())
            core = f"{folder}/core"
            there = ["set breakpoint pending off", "break stop_here", f"run {service}"]
            named = ["thread 1", "frame function main", "cpgring handles engine", "cpgring handles shape", "cpgring handles nonsense"]
            damaged = [f"python {DAMAGE}", *(f"cpgring  {name}" for name in COMMANDS)]
            early = ["break main", "run", "cpgring  queues", "delete"]
            live = gdb(subject, commands=["cpgring handles", *early, *there, *plain, *named, f"gcore {core}", *damaged])
            expect("without a process it says what to do", "no process and no core; begin with 'run'", output_of("cpgring handles", live))
            expect("before there is an engine it says so", "no engine is found", output_of("cpgring  queues", live))
            at_stop = live.partition(f"\n== run {service}\n")[2]
            expect("the subject stops", r"^Thread .* hit Breakpoint \d+.* stop_here", at_stop)
            tables(at_stop, live=True)
            expect("an expression names the engine", r"^0 +1 +joined +live +looked-at$", output_of("cpgring handles engine", live))
            refused = output_of("cpgring handles shape", live)
            expect("another one is refused", "the expression is a cpgring::engine_options; name a cpgring::engine", refused)
            expect("an unknown one too", 'No symbol "nonsense"', output_of("cpgring handles nonsense", live))
            at_damage = live.partition(f"\n== python {DAMAGE}\n")[2]
            expect("a damaged handle is listed", r"^0 +1 +joined +<unavailable> +<unavailable>$", output_of("cpgring  handles", at_damage))
            expect("its rings can't be read", r"^1( +<unavailable>){8}$", output_of("cpgring  rings", at_damage))
            expect("those of others can", r"^2 +event +263168 +0 +0 ", output_of("cpgring  rings", at_damage))
            dead = gdb(subject, core, commands=plain)
            tables("\n" + dead, live=False)
        finally:
            serve.terminate()
    expect("without types it says how to build", "no debug information for cpgring::", gdb("/bin/sh", commands=plain))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
