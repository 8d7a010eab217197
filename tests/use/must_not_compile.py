#!/usr/bin/env python3
"""Uses that the types forbid: each pair is a line that compiles and its forbidden sibling. must_not_compile.py COMPILER INCLUDEDIR"""

import subprocess
import sys

PROLOGUE = """#include <cpgring/cpgring.hpp>
#include <utility>
void f(cpgring::engine& engine, const cpgring::message& message, cpgring::reservation& reservation, cpgring::embedded_service& service,
       cpgring::engine_options& engine_options) {
  (void)engine, (void)message, (void)reservation, (void)service, (void)engine_options;
"""
PAIRS = [
    ("a message is looked at", "auto& m = message; (void)m;", "auto m = message; (void)m;"),
    ("an engine is one thing", "auto& e = engine; (void)e;", "auto e = engine; (void)e;"),
    ("a reservation moves, it has no copy", "auto r = std::move(reservation); (void)r;", "auto r = reservation; (void)r;"),
    ("a service is one thing", "auto& s = service; (void)s;", "auto s = service; (void)s;"),
    ("a way to wake up has a name", "engine_options.wakeup_backend = cpgring::wakeup::futex;", "engine_options.wakeup_backend = 1;"),
    ("durations have a unit", "engine.after(std::chrono::seconds(1), {});", "engine.after(1, {});"),
]


def compile(compiler, include, body):
    command = [compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{include}", "-x", "c++", "-"]
    return subprocess.run(command, input=f"{PROLOGUE}{body}}}\n", text=True, capture_output=True)


def main(compiler, include):
    allowed = compile(compiler, include, "".join(f"{{ {good} }}\n" for _, good, _ in PAIRS))
    if allowed.returncode:
        print(f"what should compile does not:\n{allowed.stderr}")
        return 1
    bad = 0
    for rule, _, forbidden in PAIRS:
        if compile(compiler, include, f"{{ {forbidden} }}\n").returncode == 0:
            print(f"{rule}: '{forbidden}' should not compile")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
